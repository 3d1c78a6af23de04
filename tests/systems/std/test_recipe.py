"""The example recipes: one is what ``init`` writes, the other is the real network's size."""

from __future__ import annotations

from pathlib import Path

from v2v_export.recipe import load_recipe
from v2v_export.systems.std import SYSTEM
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.schedule import strength_and_steps
from v2v_export.systems.std.stream import StdModel
from v2v_export.weights import Scaled

EXAMPLES = Path(__file__).parents[3] / "examples" / "std"


def test_example_is_the_template() -> None:
    assert (EXAMPLES / "v2v.toml").read_text() == SYSTEM.template()


def test_example_loads() -> None:
    recipe = load_recipe(EXAMPLES / "v2v.toml", {"std": SYSTEM})
    assert recipe.weights == {"base": "random:0", "lora": (Scaled("random:1"),)}
    assert isinstance(SYSTEM.load(recipe.weights, recipe.options, recipe.size), StdModel)


def test_real_size_is_sdxl_with_the_defaults() -> None:
    recipe = load_recipe(EXAMPLES / "real.toml", {"std": SYSTEM})
    texts = {"text": "a watercolour painting", "negative_text": "blurry"}
    assert recipe.options == StdOptions(strength=0.75, steps=8, **texts)
    assert strength_and_steps(StdOptions()) == (0.75, 8)
    assert recipe.profiles == ("rtx4090",)
    made = SYSTEM.load(recipe.weights, recipe.options, recipe.size)
    counts = made.weight_counts()
    # SDXL's published UNet has 2 567 463 684 parameters.
    assert counts["denoise"] + counts["cross_kv"] == 2_567_463_684
    assert len(made.program().slots) == 2 * 70 + 3

"""The example recipes: the small one is what ``init`` writes, the real one is SD1.5."""

from __future__ import annotations

from pathlib import Path

from v2v_export.recipe import load_recipe
from v2v_export.systems.stream_diffusion import SYSTEM

EXAMPLES = Path(__file__).parents[3] / "examples" / "stream_diffusion"


def test_example_is_the_template() -> None:
    assert (EXAMPLES / "v2v.toml").read_text() == SYSTEM.template()


def test_example_loads_and_is_small() -> None:
    recipe = load_recipe(EXAMPLES / "v2v.toml")
    model = recipe.system.load(recipe.weights, recipe.options, recipe.size)
    assert sum(model.weight_counts().values()) < 10_000_000


def test_real_recipe_is_sd15_with_four_rows() -> None:
    """859.5 million parameters in the UNet, the published count; its size is known before weights are."""
    recipe = load_recipe(EXAMPLES / "real.toml")
    assert (recipe.size.height, recipe.size.width) == (512, 512)
    model = recipe.system.load(recipe.weights, recipe.options, recipe.size)
    counts = model.weight_counts()
    assert counts["unet_step"] + counts["cross_kv"] == 859_520_964
    slots = model.program().slots
    assert slots["x_buf"].shape == (3, 4, 64, 64)

"""What cannot fit a GPU is refused before any work, with what would help."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.recipes import recipe_text
from v2v_export.build import build
from v2v_export.build.memory import declared_memory
from v2v_export.errors import RecipeError
from v2v_export.explain import check_memory
from v2v_export.profiles import load_profile
from v2v_export.recipe import load_recipe
from v2v_export.store import Store
from v2v_export.system import GraphOptions

WEIGHTS = dict.fromkeys(("base", "live2diff", "depth", "vae"), "random:0")
MEASURED = Path(__file__).parents[3] / "docs" / "measurements" / "real-size-live2diff.json"
FIVE_ROWS = {"rows": 5, "t_index_list": [20, 25, 30, 35, 40]}


def built_scratch(graphs: tuple[str, ...]) -> int:
    """Bytes that the engines of ``graphs``, built for rtx4090 with two rows, hold as scratch."""
    record = json.loads(MEASURED.read_text())
    built = record["parts"]["live2diff"]["systems"]["live2diff"]["targets"]["rtx4090.tensorrt"]["counters"]
    return sum(built[graph]["activation_bytes"] for graph in graphs)


def test_five_rows_do_not_fit_twelve_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "v2v.toml").write_text(recipe_text("live2diff", (512, 512), WEIGHTS, FIVE_ROWS))
    recipe = load_recipe(tmp_path / "v2v.toml")
    store = Store(tmp_path / "store")
    with pytest.raises(RecipeError) as refused:
        build(recipe, tmp_path / "case.v2v", [load_profile("rtx4070")], store=store)
    assert refused.value.code == "V2V-E5201"
    # Five rows of 1450 MiB are 7.08 GiB; two UNets of 1257.5 M in half precision, 4.68 GiB.
    assert "state 7.1" in str(refused.value)
    assert "in phase 'warmup'" in refused.value.seen
    # What fits without its activations is no promise.
    assert "phase 'stream' would fit without activations" in refused.value.seen
    assert "activations, which are not known" in refused.value.seen
    state, weights, gpu = refused.value.fix.split("; ")
    assert state.startswith(
        "state: a lower rows, with as many steps: t_index_list, or steps and strength, or"
    )
    assert state.endswith("height and width under [frame]")
    assert weights == (
        'weights: resident = "phase": engines of the step after those of the warm-up, not beside them, one '
        'UNet less in the warm-up, or prompt = "embeddings", which leaves the text encoders out of the bundle'
    )
    assert gpu.startswith("or a GPU with more memory: --gpu rtx")
    assert gpu.endswith(", at the least")
    assert not (tmp_path / "case.v2v").exists()
    assert not list((tmp_path / "store").rglob("*.onnx"))


def test_a_step_that_waits_for_the_warm_up_saves_a_unet(tmp_path: Path) -> None:
    """The refusal's advice helps, with one UNet less, and promises no fit: five rows then pass 12 GB's lower
    bound, which knows no scratch, and are above it with the scratch of engines that were built."""
    text = recipe_text("live2diff", (512, 512), WEIGHTS, {**FIVE_ROWS, "resident": "phase"})
    (tmp_path / "v2v.toml").write_text(text)
    recipe = load_recipe(tmp_path / "v2v.toml")
    model = recipe.system.load(recipe.weights, recipe.options, recipe.size)
    profile = load_profile("rtx4070")
    memory = declared_memory(model, GraphOptions("float16"), profile)
    check_memory(memory, profile)
    assert memory.least
    assert memory.worst == "warmup"
    # The warm-up runs one row after the other, so its engines are those of any number of rows.
    scratch = built_scratch(memory.phases["warmup"].graphs)
    assert scratch == pytest.approx(3.69 * 2**30, rel=2e-3)
    assert memory.total + scratch > memory.available
    both = recipe.system.load(recipe.weights, replace(recipe.options, resident="always"), recipe.size)
    beside = declared_memory(both, GraphOptions("float16"), profile)
    assert beside.phases["stream"].weights == memory.phases["stream"].weights
    saved = beside.phases["warmup"].weights - memory.phases["warmup"].weights
    # The UNet less its keys and values of the prompt, its temporal modules, the detector, E_cond and TAESD.
    assert saved == pytest.approx(2 * (859.52e6 - 19.17e6 + 417.14e6 + 122.4e6 + 1.09e6 + 2.44e6), rel=1e-3)

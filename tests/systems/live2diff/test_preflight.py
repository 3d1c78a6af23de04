"""What cannot fit a GPU is refused before any work, with what would help."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.recipes import recipe_text
from v2v_export.build import build
from v2v_export.errors import RecipeError
from v2v_export.profiles import load_profile
from v2v_export.recipe import load_recipe
from v2v_export.store import Store

WEIGHTS = dict.fromkeys(("base", "live2diff", "depth", "vae"), "random:0")
FIVE_ROWS = {"rows": 5, "t_index_list": [20, 25, 30, 35, 40]}


def test_five_rows_do_not_fit_twelve_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "v2v.toml").write_text(recipe_text("live2diff", (512, 512), WEIGHTS, FIVE_ROWS))
    recipe = load_recipe(tmp_path / "v2v.toml")
    store = Store(tmp_path / "store")
    with pytest.raises(RecipeError) as refused:
        build(recipe, tmp_path / "case.v2v", [load_profile("rtx4070")], store=store)
    assert refused.value.code == "V2V-E5201"
    # Five rows of 1450 MiB are 7.08 GiB; two UNets of 1276.7 M in half precision, 4.76 GiB.
    assert "state 7.1" in str(refused.value)
    assert "in phase 'warmup'" in refused.value.seen
    assert "phase 'stream' would fit" in refused.value.seen
    assert "activations, which are not known" in refused.value.seen
    state, weights, gpu = refused.value.fix.split("; ")
    assert state.startswith(
        "state: a lower rows, with as many steps: t_index_list, or steps and strength, or"
    )
    assert state.endswith("height and width under [frame]")
    assert weights == 'weights: prompt = "embeddings", which leaves the text encoders out of the bundle'
    assert gpu.startswith("or a GPU with more memory: --gpu rtx")
    assert not (tmp_path / "case.v2v").exists()
    assert not list((tmp_path / "store").rglob("*.onnx"))

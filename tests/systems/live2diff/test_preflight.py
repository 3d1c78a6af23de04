"""What cannot fit a GPU is refused before any work, with what would help."""

from __future__ import annotations

from pathlib import Path

import pytest
from v2v_export.build import build
from v2v_export.errors import RecipeError
from v2v_export.profiles import load_profile
from v2v_export.recipe import load_recipe
from v2v_export.store import Store

RECIPE = """
name = "case"
system = "live2diff"
[frame]
height = 512
width = 512
[weights]
base = "random:0"
live2diff = "random:0"
depth = "random:0"
vae = "random:0"
[options]
rows = 5
t_index_list = [20, 25, 30, 35, 40]
"""


def test_five_rows_do_not_fit_twelve_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "v2v.toml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "v2v.toml")
    store = Store(tmp_path / "store")
    with pytest.raises(RecipeError) as refused:
        build(recipe, tmp_path / "case.v2v", [load_profile("rtx4070")], store=store)
    assert refused.value.code == "V2V-E5201"
    # Five rows of 1450 MiB are 7.08 GiB; two UNets of 1276.7 M in half precision, 4.76 GiB.
    assert "state 7.1" in str(refused.value)
    assert "rows" in str(refused.value)
    assert "smaller frame size" in str(refused.value)
    assert not (tmp_path / "case.v2v").exists()
    assert not list((tmp_path / "store").rglob("*.onnx"))

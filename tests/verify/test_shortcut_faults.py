"""A fault in Shortcut-V2V itself, which graphs and modules share: only the literal reference can tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.recipes import small_shortcut
from torch import Tensor
from v2v_export.build import build
from v2v_export.errors import VerdictError
from v2v_export.profiles import load_profile
from v2v_export.recipe import load_recipe
from v2v_export.store import Store
from v2v_export.systems.shortcut_v2v import graphs


@pytest.fixture
def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The global sampling reads pixels at (x, y) in place of (y, x)."""
    sample: Callable[..., Tensor] = graphs.bilinear_sample
    monkeypatch.setattr(
        graphs,
        "bilinear_sample",
        lambda x, rows, cols, *form: sample(x.transpose(2, 3), rows, cols, *form),
    )


@pytest.mark.usefixtures("swapped")
def test_offsets_in_the_wrong_order(tmp_path: Path) -> None:
    path = tmp_path / "v2v.toml"
    path.write_text(small_shortcut(frames=4))
    with pytest.raises(VerdictError) as caught:
        build(load_recipe(path), None, [load_profile("cpu")], store=Store(tmp_path / "store"))
    assert caught.value.code == "V2V-E8002"
    # The first frame is the teacher's and right; the first one of the block is not.
    assert "graph shortcut, step 0 of phase stream (frame 1): out_float:" in caught.value.seen
    assert not (tmp_path / "small.v2v").exists()

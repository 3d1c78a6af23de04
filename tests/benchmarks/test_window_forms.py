"""Both forms of Live2Diff's rings through TensorRT for RTX, at a tiny width, by the benchmark's own code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from v2v_export.targets.tensorrt import BUILDER
from window_forms import count, specification

DOCS = Path(__file__).parents[2] / "docs"
ROWS, CHANNELS, SIDE = 2, 64, 8


@pytest.mark.skipif(not BUILDER.available().ok, reason=BUILDER.available().reason)
def test_rings_updated_in_the_graph_take_more_kernels_and_scratch() -> None:
    """A regression counter: in each attention the update is a kernel where the new entry's copy was, and
    another one cuts the updated ring into its entries, which are scratch."""
    made = {
        cache: count(specification(ROWS, CHANNELS, SIDE, cache), "unrolled", "rtx4090")
        for cache in ("delta", "in_place")
    }
    delta, in_place = made["delta"], made["in_place"]
    assert in_place.launches == delta.launches + 2
    assert in_place.scratch_bytes > delta.scratch_bytes


@pytest.mark.parametrize(
    ("row", "form", "level"),
    [
        ("unrolled", "unrolled", (320, 64)),
        ("matmul", "matmul", (320, 64)),
        ("stacked", "stacked", (320, 64)),
        ("unrolled, 8x8 level, 1280 channels", "unrolled", (1280, 8)),
    ],
)
def test_the_page_says_what_the_record_holds(row: str, form: str, level: tuple[int, int]) -> None:
    found = json.loads((DOCS / "measurements" / "window-forms.json").read_text())
    modules = {(m["channels"], m["side"], m["cache"], m["form"]): m for m in found["modules"]}
    cells = []
    for cache in ("delta", "in_place"):
        module = modules[*level, cache, form]
        assert sum(module["kernels"].values()) == module["launches"]
        cells += [str(module["launches"]), f"{module['scratch_bytes'] / 2**20:.1f}"]
    assert f"| {row} | {' | '.join(cells)} |" in (DOCS / "performance.md").read_text().splitlines()

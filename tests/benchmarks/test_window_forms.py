"""Both forms of Live2Diff's rings through TensorRT for RTX, at a tiny width, by the benchmark's own code."""

from __future__ import annotations

import pytest
from v2v_export.targets.tensorrt import BUILDER
from window_forms import count, specification

pytestmark = pytest.mark.skipif(not BUILDER.available().ok, reason=BUILDER.available().reason)

ROWS, CHANNELS, SIDE = 2, 64, 8


def test_rings_updated_in_the_graph_take_more_kernels_and_scratch() -> None:
    """A regression counter: in each attention the update is a kernel where the new entry's copy was, and
    another one cuts the updated ring into its entries, which are scratch."""
    made = {
        cache: count(specification(ROWS, CHANNELS, SIDE, cache), "unrolled", "rtx4090")
        for cache in ("delta", "in_place")
    }
    (kernels, _, scratch), (updating, _, more) = made["delta"], made["in_place"]
    assert updating == kernels + 2
    assert more > scratch

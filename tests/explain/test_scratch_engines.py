"""The estimate of scratch beside what engines of TensorRT for RTX, built here, say that they take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.scratch_nets import FLOAT, attention_net, keys_net, products_net, residual_net
from support.tensorrt_nets import build, request
from v2v_export.explain import read_graph
from v2v_export.explain.scratch import scratch_bytes
from v2v_export.targets.tensorrt import BUILDER

pytestmark = pytest.mark.skipif(not BUILDER.available().ok, reason=BUILDER.available().reason)

attention = partial(attention_net, heads=8, length=1024)

EXACT: dict[str, Callable[[Path], Path]] = {
    "one product": partial(products_net, widths=[320]),
    "three products": partial(products_net, widths=[320, 1280, 320]),
    "three convolutions": residual_net,
    "one product of three matrices": keys_net,
    "attention": partial(attention, size=40),
    "attention of 24 channels": partial(attention, size=24),
    "attention with a float32 softmax": partial(attention, size=40, wide=True),
    "scores read twice": partial(attention, size=40, more=True),
}

#: Where the engine finds room for one tensor in several blocks, or for the workspace in a tensor's.
BETWEEN: dict[str, Callable[[Path], Path]] = {
    "six products": partial(products_net, widths=[256, 256, 1024, 1024, 512, 2048, 512]),
    "attention in float32": partial(attention, size=40, dtype=FLOAT),
    "attention of 8 channels": partial(attention, size=8),
}


def engine_scratch(net: Path, folder: Path) -> int:
    nbytes = build(request(net, folder / "work")).counters["activation_bytes"]
    assert isinstance(nbytes, int)
    return nbytes


@pytest.mark.parametrize("name", EXACT)
def test_what_an_engine_takes_is_estimated_to_the_byte(tmp_path: Path, name: str) -> None:
    net = EXACT[name](tmp_path / "net.onnx")
    assert scratch_bytes(read_graph(net)) == engine_scratch(net, tmp_path)


@pytest.mark.parametrize("name", BETWEEN)
def test_the_estimate_is_an_upper_bound(tmp_path: Path, name: str) -> None:
    net = BETWEEN[name](tmp_path / "net.onnx")
    engine = engine_scratch(net, tmp_path)
    assert engine <= scratch_bytes(read_graph(net)) <= 1.3 * engine

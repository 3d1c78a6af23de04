"""Half precision with islands, in torch and as exported."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from v2v_export.export.precision import Float32Island, to_precision
from v2v_export.export.trace import examples
from v2v_export.system import GraphSpec
from v2v_runtime.manifest.model import TensorSpec


class Spread(nn.Module):
    """Sums so many squares that float16, which ends at 65504, cannot hold them."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x / (x * x).sum(-1, keepdim=True).sqrt()


class Net(nn.Module):
    def __init__(self, spread: nn.Module) -> None:
        super().__init__()
        self.first = nn.Linear(1024, 1024)
        self.spread = spread

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.spread(self.first(x))
        return y


def _net(island: bool) -> Net:
    torch.manual_seed(2)
    return Net(Float32Island(Spread()) if island else Spread()).eval()


def test_what_is_cast_and_what_is_not() -> None:
    net = to_precision(_net(island=True), torch.float16)
    assert net.first.weight.dtype == torch.float16
    assert net.spread.inner.scale.dtype == torch.float32  # type: ignore[union-attr]


def test_an_island_holds_what_half_precision_cannot(export: Any, play: Any) -> None:
    """Against the float32 module; without the island the sum is infinite and the answer zero."""
    port = TensorSpec("float", (1, 1024))
    x = 40 * examples(GraphSpec("n", nn.Identity, {"x": port}, {}), "float16")["x"]
    net = to_precision(_net(island=True), torch.float16)
    spec = GraphSpec("n", lambda: net, {"x": port}, {"y": port}, example={"x": x})
    with torch.no_grad():
        expected = _net(island=False)(x.float()).numpy()
        drowned = to_precision(_net(island=False), torch.float16)(x).numpy()
        computed = net(x).numpy()
    assert np.abs(expected).max() > 0.05
    assert not drowned.any()
    assert np.abs(computed - expected).max() < 2e-3
    seen = play(export(spec, "float16"), spec, "float16")["y"]
    assert seen.dtype == np.float16
    assert np.abs(seen - expected).max() < 2e-3


def test_an_island_in_a_float32_model_adds_no_cast(export: Any) -> None:
    port = TensorSpec("float", (1, 1024))
    path = export(GraphSpec("n", lambda: _net(island=True), {"x": port}, {"y": port}))
    assert "Cast" not in {node.op_type for node in onnx.load_model(path, load_external_data=False).graph.node}


def test_a_weight_out_of_range() -> None:
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight[0, 0] = 70000
    with pytest.raises(ValueError, match=r"Linear.weight reaches 70000"):
        to_precision(net, torch.float16)


def test_only_two_precisions() -> None:
    with pytest.raises(ValueError, match="bfloat16"):
        to_precision(nn.Linear(2, 2), torch.bfloat16)

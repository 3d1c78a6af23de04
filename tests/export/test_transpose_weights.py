"""Transposed weights: stored as they are read, and made one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn
from v2v_export.export.passes.transpose_weights import transpose_weights
from v2v_export.export.trace import examples, trace
from v2v_export.system import GraphSpec
from v2v_runtime.manifest.model import TensorSpec

WIDTH = 128


class Turned(nn.Module):
    """Two weights of which one is read transposed alone, the other both ways."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.one = nn.Parameter(torch.randn(WIDTH, 96, generator=generator))
        self.both = nn.Parameter(torch.randn(96, 96, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x @ self.one.t(), x @ self.both.t() @ self.both), -1).sum(-1, keepdim=True) * x


def spec() -> GraphSpec:
    return GraphSpec(
        "turned", Turned, {"x": TensorSpec("float", (2, 3, 96))}, {"y": TensorSpec("float", (2, 3, 96))}
    )


def test_a_weight_that_is_read_transposed_alone_is_made_late() -> None:
    model = trace(spec(), "float32")
    transpose_weights(model)
    late = [v for v in model.graph.initializers.values() if isinstance(v.const_value, ir.LazyTensor)]
    (value,) = late
    assert value.const_value is not None
    assert tuple(value.const_value.shape) == (96, WIDTH)
    np.testing.assert_array_equal(value.const_value.numpy(), Turned().one.detach().numpy().T)
    left = [n for n in model.graph if n.op_type == "Transpose"]
    assert [str(n.inputs[0].name) for n in left if n.inputs[0] is not None] == ["both"]


def test_the_graph_computes_the_same(export: Any, play: Any) -> None:
    path: Path = export(spec())
    loaded = onnx.load(str(path))
    assert [96, WIDTH] in [list(tensor.dims) for tensor in loaded.graph.initializer]
    seen = play(path, spec())["y"]
    with torch.no_grad():
        expected = Turned()(examples(spec(), "float32")["x"]).numpy()
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))

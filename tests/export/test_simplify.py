"""The quick simplification makes the very graphs that onnxscript's optimizer makes."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxscript import optimizer
from support.onnx_nets import node
from torch import Tensor, nn
from v2v_export.export.passes.simplify import simplify
from v2v_export.export.trace import trace
from v2v_export.system import GraphSpec
from v2v_runtime.manifest.model import TensorSpec

LARGEST = 1 << 18


class Block(nn.Module):
    """Much of what diffusion UNets are traced to: norms, attention, a gate of two halves, shapes, casts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 8, 3, padding=1), nn.GroupNorm(2, 8)
        self.qkv, self.gate, self.out = nn.Linear(8, 24), nn.Linear(8, 32), nn.Linear(16, 8)

    def forward(self, x: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        h = self.norm(self.conv(x).float()).to(x.dtype)
        batch, channels, height, width = h.shape
        tokens = h.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        q, k, v = (t.reshape(batch, -1, 2, 4).transpose(1, 2) for t in self.qkv(tokens).chunk(3, -1))
        heads = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        tokens = tokens + heads.reshape(tokens.shape) * 1.0 + 0.0
        value, gate = self.gate(tokens).chunk(2, dim=-1)
        tokens = tokens + self.out(value * nn.functional.gelu(gate))
        index = torch.where(step % 3 == 0, step, step - step)
        return tokens.reshape(batch, height, width, channels).permute(0, 3, 1, 2), index.to(torch.int64)


def contents(model: ir.Model) -> Any:
    """All that a graph says: nodes in order with their names and attributes, and the initializers' values."""
    graph = model.graph
    nodes = [
        (
            item.domain,
            item.op_type,
            item.name,
            [None if value is None else value.name for value in item.inputs],
            [(value.name, str(value.dtype), str(value.shape)) for value in item.outputs],
            sorted((name, str(attribute)) for name, attribute in item.attributes.items()),
        )
        for item in graph.all_nodes()
    ]
    values = {
        name: (str(item.dtype), item.const_value.numpy().tobytes())
        for name, item in graph.initializers.items()
    }
    return nodes, values, [value.name for value in (*graph.inputs, *graph.outputs)], dict(graph.opset_imports)


def both(model: ir.Model) -> tuple[Any, Any]:
    """What ours and theirs make of a model."""
    ours, theirs = model.clone(), model.clone()
    simplify(ours, LARGEST)
    optimizer.optimize_ir(theirs, output_size_limit=LARGEST)
    return contents(ours), contents(theirs)


def block(module: nn.Module) -> GraphSpec:
    return GraphSpec(
        "block",
        lambda: module,
        {"x": TensorSpec("float", (1, 4, 6, 8)), "step": TensorSpec("int64", (1,))},
        {"y": TensorSpec("float", (1, 8, 6, 8)), "index": TensorSpec("int64", (1,))},
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_traced_block(dtype: Any) -> None:
    torch.manual_seed(0)
    module = Block().eval().to(getattr(torch, dtype))
    spec = block(module)
    model = trace(spec, dtype)
    before = len(list(model.graph))
    ours, theirs = both(model)
    assert ours == theirs
    assert len(ours[0]) < before, "something was simplified"
    assert "Split" in {item[1] for item in ours[0]}


def test_nothing_keeps_a_graphs_weights() -> None:
    """They are gigabytes, and the next graph needs the room."""
    module = Block().eval()
    weights = [weakref.ref(parameter) for parameter in module.parameters()]
    model = trace(block(module), "float32")
    simplify(model, LARGEST)
    del module, model
    gc.collect()
    assert not any(weight() is not None for weight in weights)


def net(nodes: list[Any], weights: dict[str, Any], shape: tuple[int, ...] = (2, 8)) -> ir.Model:
    """x of that shape to y, with shapes inferred."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x",)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "net", values, outputs, constants)
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10))


NUMBERS = {f"n{value}": np.array([value], np.int64) for value in (0, 1, 3, 4, 8)}
HALVES = [node("Slice", "x n0 n4 n1", "a"), node("Slice", "x n4 n8 n1", "b")]
UNEQUAL = [node("Slice", "x n3 n8 n1", "b"), node("Slice", "x n0 n3 n1", "a")]
SUM = node("Sum", "a b c d", "y")


@pytest.mark.parametrize(
    "nodes",
    [
        [*HALVES, node("Mul", "a b", "y")],
        [*HALVES[::-1], node("Mul", "a b", "y")],
        [HALVES[0], node("Relu", "a", "r"), HALVES[1], node("Mul", "r b", "y")],
        [HALVES[1], node("Relu", "b", "r"), HALVES[0], node("Mul", "r a", "y")],
        [
            node("Slice", "x n3 n8 n1", "b"),
            node("Slice", "x n0 n3 n1", "a"),
            node("Concat", "a b", "y", axis=1),
        ],
        [node("Slice", "x n0 n4 n1", "a"), node("Slice", "a n0 n1 n0", "y")],
        [node("Relu", "x", "r"), node("Slice", "r n4 n8 n1", "b"), HALVES[0], node("Mul", "a b", "y")],
        [*HALVES[::-1], node("Slice", "x n0 n4 n1", "c"), node("Slice", "x n4 n8 n1", "d"), SUM],
    ],
    ids=["halves", "second first", "apart", "second far first", "unequal", "of a slice", "of two", "twice"],
)
def test_slices_that_are_or_are_no_halves(nodes: list[Any]) -> None:
    ours, theirs = both(net(nodes, NUMBERS))
    assert ours == theirs


def test_the_rule_of_two_outputs_does_apply() -> None:
    """Theirs looks at a Slice as its own other half first, so it takes two halves only in this order."""
    ours, theirs = both(net([*HALVES[::-1], node("Mul", "a b", "y")], NUMBERS))
    assert ours == theirs
    assert [item[1] for item in ours[0]] == ["Split", "Mul"]


def test_other_rules() -> None:
    weights = {
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.float32),
        "shape": np.array([4, 4], np.int64),
        "back": np.array([2, 8], np.int64),
        "low": np.array(-1, np.float32),
        "high": np.array(1, np.float32),
    }
    nodes = [
        node("Mul", "x one", "a"),
        node("Add", "zero a", "b"),
        node("Reshape", "b shape", "c"),
        node("Reshape", "c back", "d"),
        node("Transpose", "d", "e", perm=[1, 0]),
        node("Transpose", "e", "f", perm=[1, 0]),
        node("Cast", "f", "g", to=TensorProto.FLOAT),
        node("Expand", "g back", "h"),
        node("Max", "h low", "i"),
        node("Min", "i high", "j"),
        node("Relu", "j", "k"),
        node("Relu", "k", "l"),
        node("Slice", "l zero64 end64 axis64", "m"),
        node("Identity", "m", "y"),
    ]
    weights |= {
        "zero64": np.array([0], np.int64),
        "end64": np.array([2**62], np.int64),
        "axis64": np.array([1], np.int64),
    }
    ours, theirs = both(net(nodes, weights))
    assert ours == theirs
    assert len(ours[0]) < len(nodes) / 2

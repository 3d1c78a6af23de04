"""Small ONNX models, written node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import FunctionProto, NodeProto, TensorProto, helper

Shape = Sequence[int | str]


def save_net(
    path: Path,
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    weights: Mapping[str, Sequence[int]] | None = None,
    *,
    opset: int = 23,
    dtype: int = TensorProto.FLOAT,
    functions: Sequence[FunctionProto] = (),
    constants: Sequence[TensorProto] = (),
) -> Path:
    """Saves a model; ``weights`` are zeros of the given shapes, all floats are ``dtype``."""
    size = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2}[dtype]
    zeros = [
        helper.make_tensor(name, dtype, shape, bytes(size * _product(shape)), raw=True)
        for name, shape in (weights or {}).items()
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in outputs.items()],
        [*zeros, *constants],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("v2v", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=10)
    onnx.save(model, str(path))
    return path


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    """``node("Conv", "x w", "y", group=4)``; a dash stands for an input that is left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), name=f"{op}_{outputs}", **attributes)


def _product(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total

"""An ONNX file as its explanation needs it: nodes, static shapes, types and sizes; no weights are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx
from onnx import (
    ModelProto,
    NodeProto,
    TensorProto,
    TensorShapeProto,
    external_data_helper,
    helper,
    inliner,
    shape_inference,
)

from v2v_export.errors import ModelError

#: Integer constants up to this many elements are read from external files: shapes are computed from them.
_SHAPE_CONSTANT = 4096

#: Nodes whose output is their first input seen under another shape: they move nothing.
VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})

_FOUR_BITS = (TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1)


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Type and static shape of one tensor; ``dtype`` is numpy's name, such as ``float16``."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class StaticGraph:
    """One model with its local functions inlined.

    Attributes:
        path: for messages.
        nodes: in topological order, ``Constant`` nodes left out.
        tensors: every tensor whose type and shape are known.
        weights: initializers and constants.
    """

    path: Path
    nodes: tuple[NodeProto, ...]
    tensors: Mapping[str, TensorInfo]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: frozenset[str]

    def info(self, node: NodeProto, tensor: str) -> TensorInfo:
        """Type and shape of one of ``node``'s tensors.

        Raises:
            ModelError: they cannot be told from the file (V2V-E6201).
        """
        found = self.tensors.get(tensor)
        if found is None:
            raise ModelError(
                "V2V-E6201",
                f"{self.path.name}: the shape of {tensor!r} at node {node.name or node.op_type!r} is unknown",
                "a graph of which every tensor's shape follows from its inputs' shapes",
                "export with static shapes, or give the shapes of the graph's inputs",
            )
        return found


def read_graph(path: Path, inputs: Mapping[str, tuple[int, ...]] | None = None) -> StaticGraph:
    """Reads a model's structure and infers its shapes.

    Args:
        inputs: shapes to give input ports, where the file leaves an axis open (row buckets).

    Raises:
        ModelError: the file is no ONNX model, or an input's given shape does not fit it (V2V-E6202).
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
        _load_shape_constants(model, path.parent)
        _set_inputs(model, inputs or {}, path)
        model = inliner.inline_local_functions(model)
        model = shape_inference.infer_shapes(model, data_prop=True)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError("V2V-E6202", f"{path.name} cannot be read as an ONNX model: {error}") from error
    return _static(model, path)


def _load_shape_constants(model: ModelProto, folder: Path) -> None:
    for tensor in model.graph.initializer:
        small = prod(tensor.dims) <= _SHAPE_CONSTANT and tensor.data_type in (
            TensorProto.INT64,
            TensorProto.INT32,
        )
        if small and external_data_helper.uses_external_data(tensor):
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]


def _set_inputs(model: ModelProto, shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    ports = {item.name: item.type.tensor_type.shape.dim for item in model.graph.input}
    changed = False
    for port, shape in shapes.items():
        dims = ports.get(port)
        if dims is None or not _fits(dims, shape):
            raise ModelError(
                "V2V-E6202",
                f"{path.name}: input {port!r} is given the shape {list(shape)}",
                "an input of the graph and a shape that fits its static axes",
            )
        for dim, size in zip(dims, shape, strict=True):
            changed |= not dim.HasField("dim_value")
            dim.dim_value = size
    if changed:
        # What was inferred for open axes would win over what can be inferred now.
        del model.graph.value_info[:]
        for output in model.graph.output:
            for dim in output.type.tensor_type.shape.dim:
                if not dim.HasField("dim_value"):
                    dim.Clear()


def _fits(dims: Sequence[TensorShapeProto.Dimension], shape: tuple[int, ...]) -> bool:
    return len(dims) == len(shape) and all(
        not dim.HasField("dim_value") or dim.dim_value == size for dim, size in zip(dims, shape, strict=True)
    )


def _static(model: ModelProto, path: Path) -> StaticGraph:
    graph = model.graph
    weights = {tensor.name: _info(tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer}
    tensors = dict(weights)
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        known = kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim)
        if known and value.name not in tensors:
            tensors[value.name] = _info(kind.elem_type, tuple(dim.dim_value for dim in kind.shape.dim))
    constants = {node.output[0] for node in graph.node if node.op_type == "Constant"}
    return StaticGraph(
        path=path,
        nodes=tuple(node for node in graph.node if node.op_type != "Constant"),
        tensors=tensors,
        inputs=tuple(item.name for item in graph.input if item.name not in weights),
        outputs=tuple(item.name for item in graph.output),
        weights=frozenset(weights) | constants,
    )


def _info(kind: int, shape: tuple[int, ...]) -> TensorInfo:
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    bits = 4 if kind in _FOUR_BITS else 8 * dtype.itemsize
    return TensorInfo(str(dtype), shape, -(-prod(shape) * bits // 8))

"""Reading an ONNX file for an explanation: functions inlined, shapes inferred, no large weight read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    TensorShapeProto,
    ValueInfoProto,
    helper,
    inliner,
    shape_inference,
)
from onnxscript import optimizer

from v2v_export.errors import ModelError
from v2v_export.explain.graph import Loop, StaticGraph, TensorInfo

#: Constants up to this many elements take part in shape arithmetic.
_SMALL = 4096

_FOUR_BITS = (TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1)


def read_graph(path: Path, inputs: Mapping[str, tuple[int, ...]] | None = None) -> StaticGraph:
    """Reads a model's structure and infers its shapes.

    Args:
        inputs: shapes to give input ports, where the file leaves an axis open (row buckets).

    Raises:
        ModelError: the file is no ONNX model, or an input's given shape does not fit it (V2V-E6202).
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
        _set_inputs(model, inputs or {}, path.name)
        return _static(_inferred(inliner.inline_local_functions(model), path.parent), path.parent, path.name)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError("V2V-E6202", f"{path.name} cannot be read as an ONNX model: {error}") from error


def _inferred(model: ModelProto, folder: Path) -> ModelProto:
    """With shapes that are computed from shapes, as the bodies of our ops do, computed."""
    graph = ir.from_proto(model)
    ir.external_data.set_base_dir(graph.graph, folder)
    limits = {"input_size_limit": _SMALL, "output_size_limit": _SMALL}
    optimizer.fold_constants(graph, onnx_shape_inference=True, **limits)
    return shape_inference.infer_shapes(ir.to_proto(graph), data_prop=True)


def _set_inputs(model: ModelProto, shapes: Mapping[str, tuple[int, ...]], name: str) -> None:
    ports = {item.name: item.type.tensor_type.shape.dim for item in model.graph.input}
    changed = False
    for port, shape in shapes.items():
        dims = ports.get(port)
        if dims is None or not _fits(dims, shape):
            raise ModelError(
                "V2V-E6202",
                f"{name}: input {port!r} is given the shape {list(shape)}",
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


def _static(model: ModelProto, folder: Path, name: str) -> StaticGraph:
    """The graph. ``Scan`` nodes are entered, and what follows them is inferred from what they hand out."""
    tensors = _tensors(model.graph)
    nodes = [node for node in model.graph.node if node.op_type != "Constant"]
    loops: dict[int, Loop] = {}
    for index, node in enumerate(nodes):
        if node.op_type != "Scan" or not all(item in tensors for item in node.input):
            continue
        loops[index] = loop = _scan(model, node, tensors, folder, name)
        if set(node.output) - set(tensors):
            _declare_outputs(model.graph, node, loop)
            return _static(_inferred(model, folder), folder, name)
    used = {item for node in nodes for item in node.input}
    used |= {item for loop in loops.values() for item in loop.body.weights}
    weights = {tensor.name for tensor in model.graph.initializer}
    constants = {node.output[0] for node in model.graph.node if node.op_type == "Constant"}
    return StaticGraph(
        name=name,
        nodes=tuple(nodes),
        tensors=tensors,
        inputs=tuple(item.name for item in model.graph.input if item.name not in weights),
        outputs=tuple(item.name for item in model.graph.output),
        weights=frozenset((weights | constants) & used),
        loops=loops,
    )


def _tensors(graph: GraphProto) -> dict[str, TensorInfo]:
    tensors = {tensor.name: _info(tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        known = kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim)
        if known and value.name not in tensors:
            tensors[value.name] = _info(kind.elem_type, tuple(dim.dim_value for dim in kind.shape.dim))
    return tensors


def _scan(
    model: ModelProto, node: NodeProto, tensors: Mapping[str, TensorInfo], folder: Path, name: str
) -> Loop:
    """The body as a model of its own: what it reads of the graph around becomes its inputs and constants."""
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    body = GraphProto()
    body.CopyFrom(attributes["body"])
    scanned = attributes["num_scan_inputs"]
    states = len(node.input) - scanned
    axes = [0] * states + list(attributes.get("scan_input_axes", [0] * scanned))
    trips = {tensors[item].shape[axis] for item, axis in list(zip(node.input, axes, strict=True))[states:]}
    inputs = []
    for index, (port, item, axis) in enumerate(zip(body.input, node.input, axes, strict=True)):
        shape = list(tensors[item].shape)
        if index >= states:
            del shape[axis]
        inputs.append(helper.make_tensor_value_info(port.name, port.type.tensor_type.elem_type, shape))
    constants = {item.name: item for item in model.graph.initializer}
    makers = {item.output[0]: item for item in model.graph.node if item.op_type == "Constant"}
    inner = {port.name for port in body.input} | {made for item in body.node for made in item.output}
    for outer in dict.fromkeys(used for item in body.node for used in item.input):
        if not outer or outer in inner:
            continue
        if outer in constants:
            body.initializer.append(constants[outer])
        elif outer in makers:
            body.node.insert(0, makers[outer])
        else:
            inputs.append(_value(outer, tensors[outer]))
    del body.input[:]
    body.input.extend(inputs)
    whole = helper.make_model(body, opset_imports=model.opset_import, ir_version=model.ir_version)
    return Loop(_static(_inferred(whole, folder), folder, name), trips.pop())


def _declare_outputs(graph: GraphProto, node: NodeProto, loop: Loop) -> None:
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    states = len(node.input) - attributes["num_scan_inputs"]
    axes = attributes.get("scan_output_axes", [0] * (len(node.output) - states))
    for index, (outer, inner) in enumerate(zip(node.output, loop.body.outputs, strict=True)):
        info = loop.body.tensors[inner]
        shape = list(info.shape)
        if index >= states:
            shape.insert(axes[index - states], loop.trips)
        graph.value_info.append(_value(outer, TensorInfo(info.dtype, tuple(shape), 0)))


def _value(name: str, info: TensorInfo) -> ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(info.dtype))
    return helper.make_tensor_value_info(name, kind, info.shape)


def _info(kind: int, shape: tuple[int, ...]) -> TensorInfo:
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    bits = 4 if kind in _FOUR_BITS else 8 * dtype.itemsize
    return TensorInfo(str(dtype), shape, -(-prod(shape) * bits // 8))

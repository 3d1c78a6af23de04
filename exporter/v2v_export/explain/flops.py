"""Exact multiply-adds of a graph, in two conventions.

*true* is what the hardware has to multiply: a transposed convolution once per input pixel, a deformable
convolution like a dense one (its bilinear samples are not counted, nor are norms and other element-wise
work). *paper* is what the publications' counting tool (thop) prints, in which most of the field's tables are
given: a transposed convolution once per output pixel, which is stride squared times too many, and functional
deformable convolutions not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from onnx import NodeProto, helper

from v2v_export.errors import ModelError
from v2v_export.explain.graph import StaticGraph, TensorInfo


@dataclass(frozen=True)
class Macs:
    """Multiply-adds of one run; a FLOP count is twice this.

    Attributes:
        by_dtype: true count by the type that is multiplied, such as ``float16``.
        by_op: true count by ONNX operator.
        paper: the count in the papers' convention.
    """

    by_dtype: Mapping[str, int]
    by_op: Mapping[str, int]
    paper: int

    @property
    def true(self) -> int:
        return sum(self.by_op.values())


def count_macs(graph: StaticGraph) -> Macs:
    """Counts every node.

    Raises:
        ModelError: a shape is unknown (V2V-E6201), or a node multiplies in a way that this counter does not
            know (V2V-E6203): it never guesses zero.
    """
    by_dtype: Counter[str] = Counter()
    by_op: Counter[str] = Counter()
    paper = 0
    for index, node in enumerate(graph.nodes):
        if loop := graph.loops.get(index):
            body = count_macs(loop.body)
            by_dtype.update({name: count * loop.trips for name, count in body.by_dtype.items()})
            by_op.update({name: count * loop.trips for name, count in body.by_op.items()})
            paper += body.paper * loop.trips
            continue
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is None:
            _refuse_unknown(graph, node)
            continue
        infos = [graph.info(node, name) if name else None for name in node.input]
        true, in_paper = rule(node, infos, graph.info(node, node.output[0]))
        by_op[node.op_type] += true
        by_dtype[_first(infos).dtype] += true
        paper += in_paper
    return Macs(dict(by_dtype), dict(by_op), paper)


Inputs = list[TensorInfo | None]
Rule = Callable[[NodeProto, Inputs, TensorInfo], tuple[int, int]]

#: Standard operators that multiply and have no rule here.
_UNCOUNTED = frozenset(
    {
        "Einsum", "RNN", "LSTM", "GRU", "If", "Loop", "Scan", "ConvInteger", "QLinearConv", "MatMulInteger",
        "QLinearMatMul", "DFT", "STFT", "SequenceMap",
    }
)  # fmt: skip


def _refuse_unknown(graph: StaticGraph, node: NodeProto) -> None:
    standard = node.domain in ("", "ai.onnx")
    if standard and node.op_type not in _UNCOUNTED:
        return
    name = node.op_type if standard else f"{node.domain}::{node.op_type}"
    raise ModelError(
        "V2V-E6203",
        f"{graph.name}: the multiply-adds of {name} (node {node.name!r}) are not known",
        "operators with a rule in explain/flops.py, or with an ONNX body in the file",
        "give the op a function body, or add its rule",
    )


def _conv(node: NodeProto, inputs: Inputs, out: TensorInfo) -> tuple[int, int]:
    # The kernel [O, I / groups, *k] holds everything that one output pixel of one channel multiplies.
    macs = prod(out.shape) * prod(_at(inputs, 1).shape[1:])
    return macs, macs


def _conv_transpose(node: NodeProto, inputs: Inputs, out: TensorInfo) -> tuple[int, int]:
    kernel = _at(inputs, 1).shape  # [I, O / groups, *k]: each input pixel meets the whole kernel once
    true = prod(_first(inputs).shape) * prod(kernel[1:])
    batch_and_pixels = out.shape[0] * prod(out.shape[2:])
    return true, batch_and_pixels * prod(kernel)


def _deform_conv(node: NodeProto, inputs: Inputs, out: TensorInfo) -> tuple[int, int]:
    return prod(out.shape) * prod(_at(inputs, 1).shape[1:]), 0


def _matmul(node: NodeProto, inputs: Inputs, out: TensorInfo) -> tuple[int, int]:
    macs = prod(out.shape) * _first(inputs).shape[-1]
    return macs, macs


def _gemm(node: NodeProto, inputs: Inputs, out: TensorInfo) -> tuple[int, int]:
    inner = _first(inputs).shape[0 if _attribute(node, "transA", 0) else 1]
    macs = prod(out.shape) * inner
    return macs, macs


def _attention(node: NodeProto, inputs: Inputs, out: TensorInfo) -> tuple[int, int]:
    """Q K^T and P V in full, also where a causal mask makes half of them zero; thop sees neither."""
    query, key, value = (_at(inputs, index).shape for index in range(3))
    if len(query) == 4:  # [batch, heads, length, size]
        batch, heads, length, size = query
        keys, value_size = key[2], value[3]
    else:  # [batch, length, heads * size]
        heads, kv_heads = _attribute(node, "q_num_heads", 1), _attribute(node, "kv_num_heads", 1)
        batch, length = query[:2]
        size, keys, value_size = query[2] // heads, key[1], value[2] // kv_heads
    if len(inputs) > 4 and (past := inputs[4]) is not None:
        keys += past.shape[2]
    return batch * heads * length * keys * (size + value_size), 0


def _attribute(node: NodeProto, name: str, default: int) -> int:
    found = [helper.get_attribute_value(item) for item in node.attribute if item.name == name]
    return int(found[0]) if found else default


def _at(inputs: Inputs, index: int) -> TensorInfo:
    found = inputs[index]
    assert found is not None, "a required input of a standard operator"
    return found


def _first(inputs: Inputs) -> TensorInfo:
    return _at(inputs, 0)


_RULES: Mapping[str, Rule] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "DeformConv": _deform_conv,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Attention": _attention,
}

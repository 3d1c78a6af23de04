"""Attention over many samples, one sample at a time: for judging on the CPU, where nothing fuses it.

ONNX Runtime's CPU provider runs an attention's operators one by one, so the scores of all samples are in
memory at once: 4.3 GB for eight frames with 8 heads and 4096 places each, in float32. No sample sees
another's scores, so each can be through before the next begins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import prod

import onnx
from onnx import GraphProto, NodeProto, helper

MOST_SCORES = 2**28
"""Scores that may be in memory at once, 1 GiB in float32."""

_Shapes = Mapping[str, tuple[int, ...]]


def sample_by_sample(model: onnx.ModelProto, most: int = MOST_SCORES) -> int:
    """Rewrites, in place, each attention ``MatMul, Softmax, MatMul`` whose scores are more than ``most``.

    The first axis is split, the operators (casts between them included) are repeated for each part, and the
    results are joined. Left alone: one sample, any other operator in between (a mask, say), a value in
    between that something else reads, and shapes that the model does not state.

    Returns:
        How many were rewritten.
    """
    shapes = _shapes(model.graph)
    # Chains by the last operator: before it, everything that any of the chain reads is there.
    chains = {id(chain[-1]): chain for chain in _chains(model.graph) if _too_large(chain, shapes, most)}
    inside = {id(node) for chain in chains.values() for node in chain}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if id(node) in chains:
            nodes += _parts(chains[id(node)], shapes)
        elif id(node) not in inside:
            nodes.append(node)
    # Copies: the operators that stay belong to the list that is emptied.
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return len(chains)


def _shapes(graph: GraphProto) -> dict[str, tuple[int, ...]]:
    """Value -> its shape, where every axis has a number."""
    found: dict[str, tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for info in (*graph.input, *graph.value_info, *graph.output):
        axes = info.type.tensor_type.shape.dim
        if info.type.tensor_type.HasField("shape") and all(axis.HasField("dim_value") for axis in axes):
            found[info.name] = tuple(axis.dim_value for axis in axes)
    return found


def _chains(graph: GraphProto) -> Iterator[list[NodeProto]]:
    """``MatMul, [Cast], Softmax, [Cast], MatMul`` over the last axis, no value in between read elsewhere."""
    makers = {name: node for node in graph.node for name in node.output}
    reads = Counter(name for node in graph.node for name in node.input)
    reads.update(info.name for info in graph.output)
    readers = {name: node for node in graph.node for name in node.input}
    for node in graph.node:
        axis = next((item.i for item in node.attribute if item.name == "axis"), -1)
        if node.op_type != "Softmax" or axis != -1:
            continue
        before = makers.get(node.input[0])
        casts_before = [before] if before is not None and before.op_type == "Cast" else []
        product = makers.get(casts_before[0].input[0]) if casts_before else before
        after = readers.get(node.output[0])
        casts_after = [after] if after is not None and after.op_type == "Cast" else []
        last = readers.get(casts_after[0].output[0]) if casts_after else after
        if product is None or last is None or {product.op_type, last.op_type} != {"MatMul"}:
            continue
        chain = [product, *casts_before, node, *casts_after, last]
        single = all(reads[item.output[0]] == 1 for item in chain[:-1])
        if single and last.input[0] == chain[-2].output[0]:
            yield chain


def _too_large(chain: list[NodeProto], shapes: _Shapes, most: int) -> bool:
    scores = shapes.get(chain[0].output[0], ())
    operands = [shapes.get(name) for name in (*chain[0].input, chain[-1].input[1])]
    alike = all(shape is not None and len(shape) == len(scores) for shape in operands)
    return len(scores) > 2 and scores[0] > 1 and prod(scores) > most and alike


def _parts(chain: list[NodeProto], shapes: _Shapes) -> Iterator[NodeProto]:
    """The chain once for each sample, each after the one before, between splits and a concatenation."""
    product, last = chain[0], chain[-1]
    samples, result = shapes[product.output[0]][0], last.output[0]
    operands = dict.fromkeys((*product.input, last.input[1]))
    # An operand of one sample is that of all.
    split = [name for name in operands if shapes[name][0] == samples]
    for name in split:
        parts = [f"{result}/{name}/{index}" for index in range(samples)]
        yield helper.make_node("Split", [name], parts, axis=0, num_outputs=samples)
    for index in range(samples):
        renamed = {name: f"{result}/{name}/{index}" for name in split}
        renamed |= {name: f"{result}/{name}/{index}" for node in chain for name in node.output}
        for node in chain:
            part = NodeProto.FromString(node.SerializeToString())
            part.name = f"{node.name}/{index}" if node.name else ""
            for names in (part.input, part.output):
                names[:] = [renamed.get(name, name) for name in names]
            yield part
    joined = [f"{result}/{result}/{index}" for index in range(samples)]
    yield helper.make_node("Concat", joined, [result], axis=0)

"""Which nodes TensorRT for RTX makes one attention kernel of: the scores of that are never stored."""

from __future__ import annotations

from v2v_export.explain.tensors import Tensors

_HALF = frozenset({"float16", "bfloat16"})

#: Head sizes that TensorRT for RTX 1.7 fuses: of those built, 12 to 256 were, 8, 264 and 512 were not.
_HEADS = range(12, 257)

#: Head sizes for which the operator Attention has a kernel.
_OPERATOR_HEADS = frozenset({16, 32, 40, 64, 80, 128, 160})

#: What may stand between scores and softmax: scale, mask, a type for the softmax alone.
_BETWEEN = frozenset({"Add", "Cast", "Div", "Mul", "Where"})


def fused_attentions(tensors: Tensors) -> dict[int, int]:
    """Node -> the last node of the attention that it is part of.

    An attention is product, softmax, product: both products of half-precision activations with a head size
    that has a kernel, the softmax in any type between them, and no other reader of anything in between.
    """
    inside: dict[int, int] = {}
    for index in tensors.work:
        if tensors.graph.nodes[index].op_type == "Softmax":
            after = _after(tensors, index)
            before = _before(tensors, index)
            if after and before:
                inside.update(dict.fromkeys((*before, *after), after[-1]))
        elif tensors.graph.nodes[index].op_type == "Attention" and _has_kernel(tensors, index):
            inside[index] = index
    return inside


def _after(tensors: Tensors, index: int) -> list[int] | None:
    """From the softmax to the product of its probabilities with the values."""
    path = [index]
    while True:
        probabilities = tensors.graph.nodes[path[-1]].output[0]
        reader = _only_reader(tensors, probabilities)
        if reader is None:
            return None
        path.append(reader)
        node = tensors.graph.nodes[reader]
        if node.op_type == "MatMul":
            first = tensors(node.input[0]) == probabilities
            return path if first and _fits(tensors, reader, 1) else None
        if node.op_type != "Cast":
            return None


def _before(tensors: Tensors, index: int) -> list[int] | None:
    """From the product of queries and keys to what the softmax reads."""
    path: list[int] = []
    scores = tensors(tensors.graph.nodes[index].input[0])
    while True:
        maker = tensors.makers.get(scores)
        if maker is None or _only_reader(tensors, scores) is None:
            return None
        path.append(maker)
        node = tensors.graph.nodes[maker]
        if node.op_type == "MatMul":
            return path[::-1] if _fits(tensors, maker, 0) else None
        whole = tensors.info(maker, node.output[0]).shape
        # A mask is broadcast, or comes from outside: the scores are what has the whole shape.
        found = [
            name
            for name in tensors.sources(maker)
            if name in tensors.makers and tensors.info(tensors.makers[name], name).shape == whole
        ]
        if node.op_type not in _BETWEEN or len(found) != 1:
            return None
        scores = found[0]


def _has_kernel(tensors: Tensors, index: int) -> bool:
    """The operator's own condition. Of three axes the last holds all heads: those are taken to have none."""
    query = tensors.info(index, tensors.graph.nodes[index].input[0])
    return query.dtype in _HALF and len(query.shape) == 4 and query.shape[3] in _OPERATOR_HEADS


def _only_reader(tensors: Tensors, name: str) -> int | None:
    readers = tensors.readers[name]
    return readers[0] if len(readers) == 1 and name not in tensors.outputs else None


def _fits(tensors: Tensors, index: int, operand: int) -> bool:
    """Whether it multiplies half-precision activations, with a kernel for the last axis of ``operand``."""
    node = tensors.graph.nodes[index]
    factors = [tensors.info(index, name) for name in node.input[:2]]
    activations = not any(tensors.constant(name) for name in node.input[:2])
    return activations and factors[0].dtype in _HALF and factors[operand].shape[-1] in _HEADS

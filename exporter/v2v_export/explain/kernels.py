"""Which nodes of a graph become one kernel of a fusing compiler, and which tensors lie between kernels.

The rules are what the layers of TensorRT for RTX's engines show. A product is a kernel and reads stored
tensors. Everything else is generated: one kernel computes what one kernel reads, with one normalisation at
the most. A product also does the element-wise work on its result. An attention is one kernel. An engine may
run branches that do not need each other side by side, with a workspace each: a graph does not tell.
"""

from __future__ import annotations

from collections import defaultdict
from math import prod

from v2v_export.explain.attention import fused_attentions
from v2v_export.explain.operators import (
    CONVOLUTIONS,
    ELEMENTWISE,
    LIGHT,
    NORMS,
    PRODUCTS,
    REDUCTIONS,
)
from v2v_export.explain.tensors import Tensors

_GENERATED = LIGHT | NORMS | REDUCTIONS


class Kernels:
    """Kernels by their last node.

    Attributes:
        of: node -> the kernel that it is part of.
        attentions: kernels that are attentions.
        merged: products of one tensor with several weights, which are one kernel: their indices.
    """

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors
        self.of: dict[int, int] = fused_attentions(tensors)
        self.attentions = frozenset(self.of.values())
        self._normed: set[int] = set()
        for index in reversed(tensors.work):
            if index not in self.of:
                self.of[index] = self._kernel(index)
        self._members: dict[int, list[int]] = defaultdict(list)
        for index, kernel in self.of.items():
            self._members[kernel].append(index)
        for index in tensors.work:
            self._append_work(index)
        self.merged = self._merged()

    def readers(self, name: str) -> set[int]:
        """The kernels that read ``name``."""
        return {self.of[index] for index in self.tensors.readers[name]}

    def _kernel(self, index: int) -> int:
        """The kernel of a node whose readers have theirs."""
        op = self._op(index)
        reader = self._only_reader(index)
        joins = reader is not None and self._generated(index) and self._generated(reader)
        if op in REDUCTIONS or (op in NORMS and reader in self._normed):
            joins = False
        kernel = reader if reader is not None and joins else index
        if op in NORMS | REDUCTIONS:
            self._normed.add(kernel)
        return kernel

    def _generated(self, index: int) -> bool:
        """Whether the compiler writes the kernel: a norm of pictures, channel by channel, is a function.

        Nor is an attention generated: its last node is a product.
        """
        node = self.tensors.graph.nodes[index]
        if node.op_type == "InstanceNormalization":
            return len(self.tensors.info(index, node.output[0]).shape) < 4
        return node.op_type in _GENERATED

    def _append_work(self, index: int) -> None:
        """A product takes in the element-wise kernel that alone reads it, and writes what that would.

        A convolution also reads what is added to it; a matrix product does so at times, and is taken not to.
        """
        op, reader = self._op(index), self._only_reader(index)
        if op not in PRODUCTS or self.of[index] != index or index in self.attentions or reader is None:
            return
        ours = self.tensors.graph.nodes[index].output[0]
        result = self.tensors.graph.nodes[reader].output[0]
        if op in CONVOLUTIONS and result in self.tensors.outputs:
            return  # it writes channel last, and a port is copied from that
        work = self._members[reader]
        read = {name for node in work for name in self.tensors.sources(node)}
        alone = all(name == ours or self.of.get(self.tensors.makers.get(name, -1)) == reader for name in read)
        if op not in CONVOLUTIONS and not alone:
            return
        if all(self._op(node) in ELEMENTWISE for node in work) and self._size(ours) == self._size(result):
            self.of[index] = reader
            work.append(index)

    def _merged(self) -> list[list[int]]:
        """Products of one tensor with matrices of one height."""
        found: dict[tuple[str, str, int], list[int]] = defaultdict(list)
        for index in self.tensors.work:
            node = self.tensors.graph.nodes[index]
            if node.op_type in ("Gemm", "MatMul") and self.tensors.constant(node.input[1]):
                weight = self.tensors.info(index, node.input[1])
                inner = self.tensors.info(index, node.input[0]).shape[-1]
                if len(weight.shape) == 2:
                    found[self.tensors(node.input[0]), weight.dtype, inner].append(index)
        return [products for products in found.values() if len(products) > 1]

    def _only_reader(self, index: int) -> int | None:
        """The one kernel that reads all that the node makes; None where there are several."""
        made = self.tensors.made(index)
        kernels = set().union(*map(self.readers, made))
        moved = self._op(index) in LIGHT  # written to its port on the way
        if len(kernels) != 1 or not (moved or self.tensors.outputs.isdisjoint(made)):
            return None
        return kernels.pop()

    def _op(self, index: int) -> str:
        return str(self.tensors.graph.nodes[index].op_type)

    def _size(self, name: str) -> int:
        return prod(self.tensors.info(self.tensors.makers[name], name).shape)

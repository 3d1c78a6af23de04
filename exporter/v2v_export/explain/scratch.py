"""The scratch that an engine of a fusing compiler takes for one run, before there is an engine.

TensorRT for RTX tells an engine's own figure once it is built, which is that of its tensors between kernels
and of workspaces, and leaves gaps: up to 1.4 times what lives at one time. Blocks that are handed from tensor
to tensor whole, the largest tensor first, leave more gaps than it does, and are what is estimated here. What
engines took beside that is in ``docs/performance.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from v2v_export.explain.graph import StaticGraph
from v2v_export.explain.kernels import Kernels
from v2v_export.explain.operators import CHOSEN, CONVOLUTIONS, REDUCTIONS
from v2v_export.explain.tensors import Tensors

#: Bytes that TensorRT for RTX 1.7 keeps for a product or convolution, whose kernel it chooses on the GPU:
#: the scratch of an engine that is a single one, of any size, type and compute capability.
WORKSPACE = 8_192_000

#: Bytes of the partial sums with which it reduces a tensor to one number: 512 x 576 float32.
PARTIAL_SUMS = 512 * 576 * 4

_ALIGNMENT = 512


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes held from the kernel that ends with node ``first`` to the one that ends with node ``last``."""

    first: int
    last: int
    nbytes: int

    def meets(self, other: Held) -> bool:
        """Whether there is a kernel during which both are held."""
        return self.first <= other.last and other.first <= self.last


def scratch_bytes(graph: StaticGraph) -> int:
    """Bytes of scratch: an estimate, meant to be rather too large than too small.

    Raises:
        ModelError: a shape is unknown (V2V-E6201).
    """
    return blocks_bytes(held(graph))


def blocks_bytes(items: list[Held]) -> int:
    """Bytes of blocks for ``items``: the largest first, each into the first block that is free for it."""
    blocks: list[tuple[int, list[Held]]] = []
    for item in sorted(items, key=lambda item: (-item.nbytes, item.first)):
        free = (users for _, users in blocks if not any(map(item.meets, users)))
        users = next(free, None)
        if users is None:
            blocks.append((item.nbytes, [item]))
        else:
            users.append(item)
    return sum(nbytes for nbytes, _ in blocks)


def held(graph: StaticGraph) -> list[Held]:
    """What a run holds: tensors between kernels, copies at ports, workspaces."""
    tensors = Tensors(graph)
    kernels = Kernels(tensors)
    return [
        Held(item.first, item.last, -(-item.nbytes // _ALIGNMENT) * _ALIGNMENT)
        for item in (
            *_between(kernels),
            *_merged(kernels),
            *_copies(kernels),
            *_workspaces(kernels),
            *(Held(index, index, scratch_bytes(loop.body)) for index, loop in graph.loops.items()),
        )
        if item.nbytes
    ]


def _between(kernels: Kernels) -> list[Held]:
    """Tensors that one kernel writes and another reads; also those that leave the graph and are read in it,
    which the engine copies to their ports."""
    tensors = kernels.tensors
    merged = {index for products in kernels.merged for index in products}
    found = []
    for index in tensors.work:
        for name in tensors.made(index):
            readers = kernels.readers(name)
            port = name in tensors.outputs
            if readers - {kernels.of[index]} and (port or index not in merged):
                last = max(*readers, kernels.of[index])
                found.append(Held(kernels.of[index], last, tensors.info(index, name).nbytes))
    return found


def _merged(kernels: Kernels) -> list[Held]:
    """Products that are one kernel: one tensor, there until its last part has been read."""
    tensors = kernels.tensors
    found = []
    for products in kernels.merged:
        parts = {index: tensors.graph.nodes[index].output[0] for index in products}
        ends = [
            max(kernels.readers(name), default=index)
            for index, name in parts.items()
            if name not in tensors.outputs
        ]
        nbytes = sum(tensors.info(index, name).nbytes for index, name in parts.items())
        found.append(Held(products[0], max([*ends, products[0]]), nbytes))
    return found


def _copies(kernels: Kernels) -> list[Held]:
    """Ports that a convolution or an attention would touch: it has copies of its own, in its own order."""
    tensors = kernels.tensors
    found = []
    for index in tensors.work:
        node = tensors.graph.nodes[index]
        convolution = node.op_type in CONVOLUTIONS
        if not convolution and kernels.of[index] not in kernels.attentions:
            continue
        kernel = kernels.of[index]
        sources = tensors.sources(index)[:1] if convolution else tensors.sources(index)
        copied = [name for name in sources if name in tensors.inputs]
        if node.output[0] in tensors.outputs and not tensors.readers[node.output[0]]:
            copied.append(node.output[0])
        found += [Held(kernel, kernel, tensors.info(index, name).nbytes) for name in copied]
    return found


def _workspaces(kernels: Kernels) -> list[Held]:
    """One workspace for all kernels that may need it, and partial sums for reductions to one number."""
    tensors = kernels.tensors
    chosen, found = [], []
    for index in tensors.work:
        node, kernel = tensors.graph.nodes[index], kernels.of[index]
        if node.op_type in CHOSEN and kernel not in kernels.attentions:
            chosen.append(kernel)
        elif node.op_type in REDUCTIONS and prod(tensors.info(index, node.output[0]).shape) == 1:
            found.append(Held(kernel, kernel, PARTIAL_SUMS))
    if chosen:
        found.append(Held(min(chosen), max(chosen), WORKSPACE))
    return found

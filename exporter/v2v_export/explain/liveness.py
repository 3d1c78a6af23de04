"""The most bytes that live between a graph's nodes at one time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from onnx import NodeProto

from v2v_export.explain.graph import VIEWS, StaticGraph

#: What backends compute while they read or write a neighbour's tensor: element-wise work and data movement.
_LIGHT = frozenset(
    {
        "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "DepthToSpace", "Div", "Elu",
        "Equal", "Erf", "Exp", "Expand", "Floor", "Gather", "Gelu", "Greater", "GreaterOrEqual", "GridSample",
        "HardSigmoid", "HardSwish", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul",
        "Neg", "Not", "Or", "PRelu", "Pad", "Pow", "Range", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign",
        "Slice", "Softplus", "SpaceToDepth", "Split", "Sqrt", "Sub", "Tanh", "Tile", "Transpose", "Where",
    }
)  # fmt: skip


def peak_bytes(graph: StaticGraph, *, fused: bool) -> int:
    """Largest sum of the tensors that are made and still to be read, over the nodes in order.

    Memory is reused at once. The graph's ports and weights are not in it, nor are views of other tensors.

    Args:
        fused: tensors of light nodes are not stored where storing what they are made from is no dearer, and a
            tensor that only a Cast reads is stored in the smaller of the two types.
    """
    plan = _Plan(graph, fused)
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for name in (*node.input, *node.output):
            for root in plan.roots.get(name, (name,)):
                last[root] = index
    live: dict[str, int] = {}
    peak = 0
    for index, node in enumerate(graph.nodes):
        live.update({name: plan.size[name] for name in node.output if name in plan.size})
        loop = graph.loops.get(index)
        inside = peak_bytes(loop.body, fused=fused) if loop else 0
        peak = max(peak, sum(live.values()) + inside)
        live = {name: nbytes for name, nbytes in live.items() if last[name] > index}
    return peak


@dataclass
class _Plan:
    """Which tensors are stored.

    Attributes:
        size: stored tensor -> bytes.
        roots: tensor that is not stored -> the stored ones that it is computed from when it is read.
    """

    graph: StaticGraph
    fused: bool
    size: dict[str, int] = field(default_factory=dict)
    roots: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        graph = self.graph
        ports = graph.weights | set(graph.inputs) | set(graph.outputs)
        readers = Counter(name for node in graph.nodes for name in set(node.input))
        only_reader = {name: node for node in graph.nodes for name in node.input if readers[name] == 1}
        self.roots = dict.fromkeys(graph.weights | set(graph.inputs), ())
        for node in graph.nodes:
            for name in filter(None, node.output):
                if name in ports:
                    continue
                roots = self._from(node)
                if self._free(node, name, roots, readers[name]):
                    self.roots[name] = roots
                else:
                    self.size[name] = self._stored(node, name, only_reader.get(name))

    def _from(self, node: NodeProto) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for name in filter(None, node.input):
            found.update(dict.fromkeys(self.roots.get(name, (name,))))
        return tuple(found)

    def _free(self, node: NodeProto, name: str, roots: tuple[str, ...], readers: int) -> bool:
        if node.op_type in VIEWS:
            return True
        if not self.fused or node.op_type not in _LIGHT or readers != 1:
            return False
        return self.graph.info(node, name).nbytes >= sum(self.size.get(root, 0) for root in roots)

    def _stored(self, node: NodeProto, name: str, reader: NodeProto | None) -> int:
        nbytes = self.graph.info(node, name).nbytes
        if self.fused and reader is not None and reader.op_type in ("Cast", "CastLike"):
            return min(nbytes, self.graph.info(reader, reader.output[0]).nbytes)
        return nbytes

"""Bytes that one run of a graph moves, and the activations it holds.

Two bounds, both exact: a backend that fuses everything reads the inputs and weights once and writes the
outputs once; one that fuses nothing reads and writes around every node. Real engines lie between.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import NodeProto

from v2v_export.explain.graph import VIEWS, StaticGraph


@dataclass(frozen=True)
class Traffic:
    """Bytes of one run.

    Attributes:
        inputs, outputs, weights: of the graph's ports and constants, each once.
        unfused: what moves if every node reads its inputs from memory and writes its outputs there.
        activations: the most that lives between nodes at one time if nothing is fused and memory is reused
            at once; ports and weights are not in it.
    """

    inputs: int
    outputs: int
    weights: int
    unfused: int
    activations: int

    @property
    def fused(self) -> int:
        """The least that a run can move."""
        return self.inputs + self.outputs + self.weights


def count_bytes(graph: StaticGraph) -> Traffic:
    """Counts every tensor.

    Raises:
        ModelError: a shape is unknown (V2V-E6201).
    """
    size = {name: item.nbytes for name, item in graph.tensors.items()}
    return Traffic(
        inputs=sum(size[name] for name in graph.inputs),
        outputs=sum(size[name] for name in graph.outputs),
        weights=sum(size.get(name, 0) for name in graph.weights),
        unfused=sum(_around(graph, node) for node in graph.nodes),
        activations=_peak(graph),
    )


def _around(graph: StaticGraph, node: NodeProto) -> int:
    if node.op_type in VIEWS or _constant(graph, node):
        return 0
    names = {name for name in (*node.input, *node.output) if name}
    return sum(graph.info(node, name).nbytes for name in names)


def _constant(graph: StaticGraph, node: NodeProto) -> bool:
    """A node that builders fold away."""
    return all(name in graph.weights for name in node.input if name)


def _peak(graph: StaticGraph) -> int:
    """Largest sum of the internal tensors that are made and still to be read, over the nodes in order."""
    outside = graph.weights | set(graph.inputs) | set(graph.outputs)
    owner: dict[str, str] = {}  # a view's tensor -> the tensor whose memory it is
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        if node.op_type in VIEWS and node.output[0] not in graph.outputs:
            owner[node.output[0]] = owner.get(node.input[0], node.input[0])
        for name in (*node.input, *node.output):
            last[owner.get(name, name)] = index
    live: dict[str, int] = {}
    peak = 0
    for index, node in enumerate(graph.nodes):
        for name in node.output:
            if name and name not in owner and name not in outside:
                live[name] = graph.info(node, name).nbytes
        peak = max(peak, sum(live.values()))
        live = {name: nbytes for name, nbytes in live.items() if last[name] > index}
    return peak

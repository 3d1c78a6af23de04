"""Bytes that one run of a graph moves, and the activations it holds.

For the traffic two exact bounds: a backend that fuses everything reads the inputs and weights once and writes
the outputs once; one that fuses nothing reads and writes around every node. Real engines lie between.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import NodeProto

from v2v_export.explain.graph import VIEWS, StaticGraph
from v2v_export.explain.liveness import peak_bytes
from v2v_export.explain.scratch import scratch_bytes


@dataclass(frozen=True)
class Traffic:
    """Bytes of one run.

    Attributes:
        inputs, outputs, weights: of the graph's ports and constants, each once.
        unfused: what moves if every node reads its inputs from memory and writes its outputs there.
        activations: scratch of an engine that fuses: an estimate (``scratch.scratch_bytes``).
        activations_unfused: the most that lives between nodes at one time with nothing fused: an estimate for
            a backend that runs node by node.
    """

    inputs: int
    outputs: int
    weights: int
    unfused: int
    activations: int
    activations_unfused: int

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
        unfused=_unfused(graph),
        activations=scratch_bytes(graph),
        activations_unfused=peak_bytes(graph),
    )


def _unfused(graph: StaticGraph) -> int:
    total = 0
    for index, node in enumerate(graph.nodes):
        if loop := graph.loops.get(index):
            total += loop.trips * _unfused(loop.body)
        elif node.op_type not in VIEWS and not _constant(graph, node):
            total += sum(graph.info(node, name).nbytes for name in {*node.input, *node.output} if name)
    return total


def _constant(graph: StaticGraph, node: NodeProto) -> bool:
    """A node that builders fold away."""
    return all(name in graph.weights for name in node.input if name)

"""Who makes and who reads each tensor of a graph, seen through views and without what builders fold away."""

from __future__ import annotations

from collections import defaultdict

from onnx import NodeProto

from v2v_export.explain.graph import VIEWS, StaticGraph, TensorInfo


class Tensors:
    """The tensors of a graph under the names of what they are views of.

    Attributes:
        work: indices of the nodes that compute something, in order.
        makers: tensor -> index of its node.
        readers: tensor -> indices of the nodes that read it, in order.
        inputs, outputs: the graph's ports. A view of a tensor that leaves the graph makes that one a port.
    """

    def __init__(self, graph: StaticGraph) -> None:
        self.graph = graph
        self._base: dict[str, str] = {}
        self._constants = set(graph.weights)
        self.work: list[int] = []
        self.makers: dict[str, int] = {}
        self.readers: dict[str, list[int]] = defaultdict(list)
        for index, node in enumerate(graph.nodes):
            if self._folded(node):
                self._constants.update(node.output)
            elif node.op_type in VIEWS:
                self._base[node.output[0]] = self(node.input[0])
            else:
                self._add(index, node)
        self.inputs = frozenset(graph.inputs)
        self.outputs = frozenset(map(self, graph.outputs))

    def __call__(self, name: str) -> str:
        """What ``name`` is a view of; itself where it is none."""
        return self._base.get(name, name)

    def constant(self, name: str) -> bool:
        """Whether it is a weight, or follows from weights alone."""
        return name in self._constants

    def sources(self, index: int) -> list[str]:
        """What node ``index`` reads and is not constant, each once."""
        names = self.graph.nodes[index].input
        return list(dict.fromkeys(self(name) for name in names if name and not self.constant(name)))

    def made(self, index: int) -> list[str]:
        """What node ``index`` makes and somebody reads, or the graph hands out."""
        names = self.graph.nodes[index].output
        return [name for name in names if name and (self.readers.get(name) or name in self.outputs)]

    def info(self, index: int, name: str) -> TensorInfo:
        """Raises V2V-E6201 where the shape is unknown."""
        return self.graph.info(self.graph.nodes[index], name)

    def _folded(self, node: NodeProto) -> bool:
        return all(not name or self.constant(name) for name in node.input)

    def _add(self, index: int, node: NodeProto) -> None:
        self.work.append(index)
        for name in dict.fromkeys(self(name) for name in node.input if name):
            self.readers[name].append(index)
        self.makers.update(dict.fromkeys(filter(None, node.output), index))

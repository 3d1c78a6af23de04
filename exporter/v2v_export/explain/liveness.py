"""The most bytes that live between a graph's nodes at one time, each run by itself and in order."""

from __future__ import annotations

from v2v_export.explain.graph import VIEWS, StaticGraph


def peak_bytes(graph: StaticGraph) -> int:
    """Largest sum of the tensors that are made and still to be read, over the nodes in order.

    Memory is reused at once. The graph's ports and weights are not in it, nor are views of other tensors.

    Raises:
        ModelError: a shape is unknown (V2V-E6201).
    """
    ports = graph.weights | set(graph.inputs) | set(graph.outputs)
    base: dict[str, str] = {}
    last: dict[str, int] = {}
    size: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        if node.op_type in VIEWS:
            base[node.output[0]] = base.get(node.input[0], node.input[0])
        for name in filter(None, (*node.input, *node.output)):
            last[base.get(name, name)] = index
        for name in filter(None, node.output):
            if name not in ports and name not in base:
                size[name] = graph.info(node, name).nbytes
    live: dict[str, int] = {}
    peak = 0
    for index, node in enumerate(graph.nodes):
        live.update({name: size[name] for name in node.output if name in size})
        loop = graph.loops.get(index)
        inside = peak_bytes(loop.body) if loop else 0
        peak = max(peak, sum(live.values()) + inside)
        live = {name: nbytes for name, nbytes in live.items() if last[name] > index}
    return peak

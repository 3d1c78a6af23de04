"""Outputs that are another value under a second name."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir


def part_outputs(graph: ir.Graph, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Gives ports their declared names; an output that is an input or another output becomes a copy of it."""
    for value, name in zip(graph.inputs, inputs, strict=False):
        value.name = name
    seen: set[int] = set()
    for index, (value, name) in enumerate(zip(list(graph.outputs), outputs, strict=False)):
        if value.is_graph_input() or id(value) in seen:
            copy_output(graph, index, name)
        seen.add(id(value))


def copy_output(graph: ir.Graph, index: int, name: str) -> None:
    """Puts an Identity of output ``index`` in its place, called ``name``."""
    value = graph.outputs[index]
    node = ir.node("Identity", [value])
    copy = node.outputs[0]
    copy.name, copy.type, copy.shape = name, value.type, value.shape
    graph.append(node)
    graph.outputs[index] = copy

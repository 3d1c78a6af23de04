"""Takes out what the exporter notes about the machine that it ran on.

Requires: nothing.
Ensures: no node, value or graph carries a metadata property but ``pkg.torch.onnx.name_scopes`` on nodes; no
documentation string remains. Stack traces with local paths are most of an exported file's size.
"""

from __future__ import annotations

import onnx_ir as ir

KEPT = "pkg.torch.onnx.name_scopes"
"""Maps a node to the module it came from: reports name modules by it."""


def strip_metadata(model: ir.Model) -> None:
    """Strips ``model`` in place."""
    model.doc_string = None
    model.metadata_props.clear()
    _strip(model.graph)
    for value in model.graph.initializers.values():
        _strip_value(value)
    for function in model.functions.values():
        _strip(function)


def _strip(graph: ir.Graph | ir.Function) -> None:
    graph.doc_string = None
    graph.metadata_props.clear()
    for value in (*graph.inputs, *graph.outputs):
        _strip_value(value)
    for node in graph.all_nodes():
        scopes = node.metadata_props.get(KEPT)
        node.metadata_props.clear()
        node.doc_string = None
        if scopes is not None:
            node.metadata_props[KEPT] = scopes
        for value in node.outputs:
            _strip_value(value)


def _strip_value(value: ir.Value) -> None:
    value.metadata_props.clear()
    value.doc_string = None

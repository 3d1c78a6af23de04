"""Folds constants and takes out what computes nothing.

Requires: a traced model; all tensors of constants in reach.
Ensures: no node without a use, no Identity between two inner values, no initializer twice under two names
where it is small, no unused initializer or opset; ports keep name and order.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import (
    CommonSubexpressionEliminationPass,
    DeduplicateInitializersPass,
    IdentityEliminationPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
)

from v2v_export.export.outputs import copy_output
from v2v_export.export.passes.simplify import simplify

LARGEST_FOLDED = 1 << 18
"""Elements of the largest tensor that folding may make: a table may be baked, an expanded weight may not."""


def fold(model: ir.Model) -> None:
    """Folds ``model`` in place."""
    outputs = [str(value.name) for value in model.graph.outputs]
    simplify(model, LARGEST_FOLDED)
    for clean in (
        CommonSubexpressionEliminationPass(),
        IdentityEliminationPass(),
        DeduplicateInitializersPass(),
        RemoveUnusedNodesPass(),
        RemoveUnusedOpsetsPass(),
    ):
        clean(model)
    _restore_outputs(model.graph, outputs)


def _restore_outputs(graph: ir.Graph, names: list[str]) -> None:
    """Two outputs that turn out to be one value, or an input, share its name after folding: give theirs
    back."""
    for index, (value, name) in enumerate(zip(list(graph.outputs), names, strict=True)):
        if value.name != name:
            copy_output(graph, index, name)

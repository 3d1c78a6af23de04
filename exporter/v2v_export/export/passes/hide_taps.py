"""Turns taps, traced as outputs, into named values inside the graph.

Requires: the model's outputs are the declared outputs followed by the declared taps.
Ensures: the outputs are the declared outputs; each tap is an inner value of that name with its type and
shape, on the way to an output, so that no backend computes more for it. ``v2v_export.export.taps`` brings
it back.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from v2v_export.errors import BuildError


def hide_taps(model: ir.Model, taps: Sequence[str], graph: str) -> None:
    """Hides ``taps`` of ``model`` in place.

    Raises:
        BuildError: a tap is computed for nothing but itself (V2V-E7012).
    """
    for name in taps:
        value = next(item for item in model.graph.outputs if item.name == name)
        model.graph.outputs.remove(value)
        if not value.uses() and not value.is_graph_output():
            raise BuildError(
                "V2V-E7012",
                f"tap {name!r} of graph {graph!r} is computed for nothing but itself",
                "a value that an output is computed from",
                "tap the very tensor that the module goes on with, without a cast or copy of its own",
            )

"""Gives every custom op of the model its portable ONNX body.

Requires: custom ops stand as bare nodes of domain ``v2v``; a ``ModelProto`` (its weights may be external).
Ensures: every node of domain ``v2v`` has a function of its name in the model, in the lowering asked for, so
that any ONNX backend runs the file as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from v2v_export.errors import BuildError

DOMAIN = "v2v"


def attach_bodies(model: onnx.ModelProto, lowering: Mapping[str, str], graph: str) -> None:
    """Attaches the bodies to ``model`` in place.

    Raises:
        BuildError: a node has no body (V2V-E7013).
    """
    if not any(node.domain == DOMAIN for node in model.graph.node):
        return
    import v2v_plugins

    v2v_plugins.attach_bodies(model, lowering)
    bodies = {(item.domain, item.name) for item in model.functions}
    bare = sorted({n.op_type for n in model.graph.node if n.domain == DOMAIN} - {name for _, name in bodies})
    if bare:
        raise BuildError(
            "V2V-E7013",
            f"graph {graph!r} has nodes without a body: {', '.join(f'{DOMAIN}::{name}' for name in bare)}",
            "a portable ONNX body for each custom op",
            "register the op under plugins/ with its body",
        )

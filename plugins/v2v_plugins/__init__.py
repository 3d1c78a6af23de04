"""Custom ops of domain ``v2v``: schema, portable ONNX bodies, torch reference, backend kernels.

A custom op is a node with a portable body, so that one file runs on every backend; a backend puts a faster
kernel in the body's place where it has one. A new op is one folder (see ``registry``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from v2v_plugins.registry import DOMAIN, Lowering, Op, discover

if TYPE_CHECKING:
    import onnx

__all__ = ["DOMAIN", "OPS", "Lowering", "Op", "attach_bodies", "register_schemas", "translation_table"]

OPS: Mapping[str, Op] = discover(__name__, list(__path__))
"""Every custom op by its name."""


def attach_bodies(model: onnx.ModelProto, lowering: str | Mapping[str, str]) -> list[str]:
    """Puts a function into ``model``, in place, for every op of domain ``v2v`` that it uses.

    The model then runs where nothing of ours is registered. Bodies that are there already are replaced, so
    that the same model can be given another lowering.

    Args:
        model: its weights may be external.
        lowering: the name of a lowering for all ops; or a choice by op name or operation family (such as
            ``{"deform": "gather"}``, which is how profiles choose), other ops taking their default.

    Returns:
        The names of the ops that the model uses, sorted.

    Raises:
        PluginError: an op that is not ours (V2V-E7701); no such lowering (V2V-E7702); the model's opset does
            not suit it (V2V-E7703) or is missing (V2V-E7704).
    """
    from v2v_plugins import bodies

    return bodies.attach(OPS, model, lowering)


def register_schemas() -> None:
    """Registers the schema of every op with ``onnx``, for its checker and shape inference. Idempotent."""
    from onnx import defs

    for op in OPS.values():
        if not defs.has(op.name, DOMAIN):
            defs.register_schema(op.schema)


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """torch operator -> ONNX function of each op, for ``torch.onnx.export(custom_translation_table=...)``.

    Each op is exported as one bare node; ``attach_bodies`` comes after. Registers the torch operators and the
    schemas.
    """
    register_schemas()
    return {op.torch_overload: op.translate for op in OPS.values()}

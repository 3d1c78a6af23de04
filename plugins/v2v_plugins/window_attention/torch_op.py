"""``torch.ops.v2v.window_attention``, and the bare ONNX node that it is exported as."""

from __future__ import annotations

from typing import Any

import torch
from onnxscript import values
from torch import Tensor

from v2v_plugins.registry import DOMAIN, VERSION
from v2v_plugins.window_attention.reference import ENTRIES, stacked
from v2v_plugins.window_attention.schema import SCHEMA


@torch.library.custom_op("v2v::window_attention", mutates_args=())
def window_attention(
    query: Tensor, own: Tensor, sinks: Tensor, ring: Tensor, moves: Tensor, opened: Tensor
) -> Tensor:
    """One query per row and position on its window; see ``reference.literal`` for arguments and result.

    One node ``v2v::WindowAttention`` in a graph exported with ``v2v_plugins.translation_table()``.

    Raises:
        ValueError: shapes or types that do not fit each other.
    """
    _check(query, own, sinks, ring, moves, opened)
    return stacked(query, own, sinks, ring, moves, opened)


@window_attention.register_fake
def _(query: Tensor, own: Tensor, sinks: Tensor, ring: Tensor, moves: Tensor, opened: Tensor) -> Tensor:
    _check(query, own, sinks, ring, moves, opened)
    return torch.empty_like(query)


def _check(query: Tensor, own: Tensor, sinks: Tensor, ring: Tensor, moves: Tensor, opened: Tensor) -> None:
    if query.dim() != 4:
        raise ValueError(f"window_attention: query {tuple(query.shape)}; expected [T, P, heads, d]")
    rows, places, heads, width = query.shape
    token = (2, heads, width)
    for name, tensor, wanted in (
        ("own", own, (rows, places, *token)),
        ("sinks", sinks, (rows, ENTRIES, places, *token)),
        ("ring", ring, (ENTRIES, rows, places, *token)),
        ("moves", moves, (ENTRIES + 1, rows, *token)),
        ("opened", opened, (ENTRIES + 1, rows)),
    ):
        if tuple(tensor.shape) != wanted:
            raise ValueError(
                f"window_attention: {name} {tuple(tensor.shape)}; expected {wanted} beside query "
                f"{tuple(query.shape)}"
            )
        dtype = torch.bool if name == "opened" else query.dtype
        if tensor.dtype != dtype:
            raise ValueError(f"window_attention: {name} is {tensor.dtype}; expected {dtype}")


OVERLOAD: torch._ops.OpOverload = torch.ops.v2v.window_attention.default

_NODE = values.Op(values.Opset(DOMAIN, VERSION), "WindowAttention", SCHEMA)


def translate(query: Any, own: Any, sinks: Any, ring: Any, moves: Any, opened: Any) -> Any:
    """One bare node; its body comes with ``v2v_plugins.attach_bodies``."""
    return _NODE(query, own, sinks, ring, moves, opened)

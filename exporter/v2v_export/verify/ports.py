"""What a module is given while it is recorded: small inputs in memory, large ones read as they are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

LARGE = 1 << 24
"""Bytes from which on an input stays on the disk: the caches of a UNet are gigabytes, two of them at once
are not, and what is smaller is given as it is."""


class OnDisk(Tensor):
    """A tensor of known type and shape whose numbers come from ``read`` whenever an operator takes it.

    They are in memory while that operator runs. What views it makes are views of what was read.
    """

    _read: Callable[[], Tensor]

    @staticmethod
    def of(shape: Sequence[int], dtype: torch.dtype, read: Callable[[], Tensor]) -> OnDisk:
        """The tensor; ``read`` gives a new one of that shape and type, the same numbers every time."""
        made: OnDisk = Tensor._make_wrapper_subclass(OnDisk, tuple(shape), dtype=dtype)
        made._read = read
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's stubs leave the operator out
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given, named = tree_map(_whole, (args, dict(kwargs or {})))
        return func(*given, **named)


def large(size: int) -> bool:
    """Whether an input of so many bytes stays on the disk."""
    return size >= LARGE


def _whole(item: Any) -> Any:
    return item._read() if isinstance(item, OnDisk) else item

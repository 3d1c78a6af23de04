"""Modules in another precision: as copies that share what need not change, or converted where they are."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from v2v_export.diffusion.errors import WeightsError

_M = TypeVar("_M", bound=nn.Module)


def in_precision(module: _M, dtype: torch.dtype) -> _M:
    """A copy of ``module`` with its floating tensors in ``dtype``; those that are so already are shared, not
    copied.

    Narrowing refuses what leaves the narrower type's range, so a checkpoint of huge weights fails here and
    not as NaN in a picture.

    Raises:
        WeightsError: V2V-E6108, a weight does not fit ``dtype``.
    """
    memo: dict[int, object] = {}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if id(tensor) in memo:
            continue
        cast = _cast(name, tensor, dtype)
        parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(cast, requires_grad=False) if parameter else cast
    return copy.deepcopy(module, memo)


def recast(module: _M, dtype: torch.dtype) -> _M:
    """``module`` itself with its floating tensors in ``dtype``, one converted after the other.

    For a module that nobody else holds: the old tensor of each is let go before the next one is made, where
    a copy of all holds SDXL's UNet in half and in single precision at once, 15 GB of it.

    Raises:
        WeightsError: V2V-E6108, as ``in_precision``; the module is of no use then.
    """
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        tensor.data = _cast(name, tensor, dtype)
    return module


def _cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The same numbers in ``dtype``, the same memory where they are so already."""
    cast = tensor.detach()
    if tensor.is_floating_point() and tensor.dtype != dtype:
        cast = cast.to(dtype)
        if dtype == torch.float16 and not tensor.is_meta and not bool(torch.isfinite(cast).all()):
            raise _too_large(name, tensor)
    return cast


def _too_large(name: str, tensor: Tensor) -> WeightsError:
    return WeightsError(
        "V2V-E6108",
        f"{name} reaches {float(tensor.abs().max()):g}",
        f"at most {torch.finfo(torch.float16).max:g} in a float16 variant",
        "build for a float32 profile, or use the checkpoint's half-precision release",
    )

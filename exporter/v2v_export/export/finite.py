"""The all-finite flag that a graph hands to the machine's ``check``."""

from __future__ import annotations

import torch
from torch import Tensor


def all_finite(*tensors: Tensor) -> Tensor:
    """A bool tensor [1]: no NaN and no infinity in any of the tensors.

    A sum of magnitudes in float32 is at most the largest float exactly then (or the values are past 1e38
    together, which is as broken); it costs one pass and no select.
    """
    total = torch.stack([tensor.float().abs().sum() for tensor in tensors]).sum()
    return (total <= torch.finfo(torch.float32).max).reshape(1)


def nan_unless_finite(tensor: Tensor) -> Tensor:
    """A float32 scalar, zero where ``tensor`` is finite, NaN where not; see ``all_finite``."""
    return torch.where(all_finite(tensor), 0.0, torch.nan).reshape(())

"""Between uint8 pictures at a graph's edge and tensors inside it."""

from __future__ import annotations

import torch
from torch import Tensor


def to_picture(frames: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 [G, H, W, 3] -> [G, 3, H, W] in [-1, 1]; cast first: engines take uint8 only at an edge."""
    return (frames.float().permute(0, 3, 1, 2) / 127.5 - 1.0).to(dtype)


def to_levels(picture: Tensor) -> tuple[Tensor, Tensor]:
    """[G, 3, H, W] -> (uint8 [G, H, W, 3], float32 [G, 3, H, W] in [-1, 1]).

    Clamped, then rounded half to even, as diffusers' image processor does through numpy. The cast to uint8
    comes last. NaN stays NaN in the float result, where a check sees it.
    """
    clamped = picture.float().clamp(-1.0, 1.0)
    return ((clamped + 1.0) * 127.5).round().permute(0, 2, 3, 1).to(torch.uint8), clamped

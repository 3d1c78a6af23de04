"""One bilinear sample per pixel, in forms that export to portable ONNX nodes.

The global alignment of Shortcut-V2V after its rewrite: one offset serves all taps, so the deformable
convolution is a plain one and this. No custom op: its cost is small beside AdaBD's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from v2v_plugins.errors import PluginError


def bilinear_sample(x: Tensor, rows: Tensor, cols: Tensor, lowering: str) -> Tensor:
    """``x`` read at pixel positions; what lies outside the picture is zero.

    A position between -1 and 0 still mixes in the first pixel. Positions and weights are float32 at least,
    whatever ``x`` is. Planes that are read at the same positions are best joined on their channels first.

    Args:
        x: ``[N, C, H, W]``, H and W at least 2.
        rows, cols: ``[N, Ho, Wo]``, in pixels of ``x``; any float type, any value.
        lowering: a name of ``LOWERINGS``: the same names that AdaBD's bodies have.

    Returns:
        ``[N, C, Ho, Wo]`` in the type of ``x``.

    Raises:
        PluginError: no such lowering (V2V-E7702).
        ValueError: shapes that do not fit each other.
    """
    if lowering not in LOWERINGS:
        raise PluginError(
            "V2V-E7702", f"lowering {lowering!r} of bilinear_sample", f"one of {', '.join(LOWERINGS)}"
        )
    if x.dim() != 4 or rows.dim() != 3 or rows.shape != cols.shape or rows.shape[0] != x.shape[0]:
        seen = f"x {tuple(x.shape)}, rows {tuple(rows.shape)}, cols {tuple(cols.shape)}"
        raise ValueError(f"bilinear_sample: {seen}; expected [N, C, H, W] and twice [N, Ho, Wo]")
    if min(x.shape[2:]) < 2:
        raise ValueError(f"bilinear_sample: x {tuple(x.shape)}; expected H and W of at least 2")
    kind = torch.promote_types(x.dtype, torch.float32)
    return LOWERINGS[lowering](x, rows.to(kind), cols.to(kind))


def _gridsample(x: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """One GridSample; ``x`` is widened, since picture and grid have one type."""
    height, width = x.shape[2:]
    # Within two pixels of the picture, where all is zero already: kernels turn positions into integers, and
    # one that is huge or infinite would wrap around into the picture.
    rows, cols = rows.clamp(-2, height + 1), cols.clamp(-2, width + 1)
    # align_corners=False: g = (2 c + 1) / size - 1, exact for sizes that are powers of two.
    grid = torch.stack(((2 * cols + 1) / width - 1, (2 * rows + 1) / height - 1), dim=-1)
    sample = functional.grid_sample(x.to(grid.dtype), grid, "bilinear", "zeros", align_corners=False)
    return sample.to(x.dtype)


def _gather(x: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Pixels as rows of channels: one Gather of four corners each, and their weighted sum.

    The corner pair is clamped into the picture, and a corner's weight is the hat ``max(0, 1 - |distance|)``:
    bilinear inside, right at the edge, zero outside, with no ring of zeros and no validity mask.
    """
    n, c, height, width = x.shape
    top, down = _corner(rows.flatten(1), height)
    left, right = _corner(cols.flatten(1), width)
    image = torch.arange(n, dtype=torch.int32, device=x.device).view(-1, 1) * (height * width)
    first = image + top * width + left
    index = torch.stack((first, first + 1, first + width, first + (width + 1)), dim=-1)
    weight_y = torch.stack((_hat(down), _hat(down - 1)), dim=-1)
    weight_x = torch.stack((_hat(right), _hat(right - 1)), dim=-1)
    weight = (weight_y.unsqueeze(-1) * weight_x.unsqueeze(-2)).flatten(2)

    pixels = x.permute(0, 2, 3, 1).reshape(-1, c)
    corners = functional.embedding(index, pixels)
    sample = (corners * weight.unsqueeze(-1)).sum(dim=2)
    return sample.transpose(1, 2).reshape(n, c, *rows.shape[1:]).to(x.dtype)


def _corner(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The first pixel of the pair around ``position``, kept inside 0..size - 2, and the distance from it."""
    first = position.floor().clamp(0, size - 2)
    # A NaN has no integer: the second clamp keeps its pixel inside the tensor, and its weight stays NaN.
    return first.to(torch.int32).clamp(min=0), position - first


def _hat(distance: Tensor) -> Tensor:
    return (1 - distance.abs()).clamp(min=0)


LOWERINGS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        "gather": _gather,
        "gridsample": _gridsample,
        # On a CPU, one GridSample is as fast as DeformConv with a kernel of one, and twice as fast as Gather.
        "deformconv": _gridsample,
        "scan": _gridsample,
    }
)
"""Lowering -> form; the names are those of AdaBD's bodies, so that a profile chooses both at once."""

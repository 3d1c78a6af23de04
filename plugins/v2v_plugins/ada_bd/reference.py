"""``v2v::AdaBD`` in PyTorch, twice: as the paper writes it, and as one product.

Both are differentiable in every argument, take any float type, and may run in float64 to test an identity
without rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TAPS = 9


def literal(T: Tensor, F_star: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Equation 6 as it stands: two deformable convolutions, tap by tap, corner by corner.

    Args:
        T: ``[N, h, H, W]``, the current frame's reduced feature.
        F_star: ``[N, h, H, W]``, the aligned reference feature.
        offset: ``[N, 18, H, W]`` in pixels, (dy, dx) of each tap, taps row by row.
        mask: ``[N, 9, H, W]``, the current frame's share of each tap.
        weight: ``[o, h, 3, 3]``.

    Returns:
        ``[N, o, H, W]``.
    """
    still = torch.zeros_like(offset)
    return _deform_conv(T, weight, still, mask) + _deform_conv(F_star, weight, offset, 1 - mask)


def one_product(T: Tensor, F_star: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """The same with both sums mixed before the kernel is applied, which is then read once.

    Arguments and result as in ``literal``; equal to it up to rounding. Positions, weights and mixing are
    float32 at least.
    """
    n, h, height, width = T.shape
    kind = torch.promote_types(T.dtype, torch.float32)
    y, x = _positions(offset.to(kind))
    # Beyond the next pixel outside all is zero; grid_sample would wrap a huge position around.
    y, x = y.clamp(-2, height + 1), x.clamp(-2, width + 1)
    # align_corners=False: exact for sizes that are powers of two. All taps stand on the grid's rows.
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1).flatten(1, 2)
    moved = functional.grid_sample(F_star.to(kind), grid, "bilinear", "zeros", align_corners=False)
    moved = moved.view(n, h, TAPS, height, width)
    still = functional.unfold(T.to(kind), kernel_size=3, padding=1).view(n, h, TAPS, height, width)
    columns = moved + mask.to(kind).unsqueeze(1) * (still - moved)
    rows = weight.to(kind).flatten(1) @ columns.view(n, h * TAPS, height * width)
    return rows.view(n, -1, height, width).to(T.dtype)


def _deform_conv(X: Tensor, weight: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    """Modulated deformable convolution, 3x3, stride 1, padding 1 (equation 2)."""
    y, x = _positions(offset)
    Y = X.new_zeros(X.shape[0], weight.shape[0], *X.shape[2:])
    for tap in range(TAPS):
        sample = mask[:, tap, None] * _bilinear(X, y[:, tap], x[:, tap])
        Y = Y + torch.einsum("oc,nchw->nohw", weight[:, :, tap // 3, tap % 3], sample)
    return Y


def _positions(offset: Tensor) -> tuple[Tensor, Tensor]:
    """Where each tap of each pixel reads: y and x, ``[N, 9, H, W]`` in pixels."""
    height, width = offset.shape[2:]
    y = torch.arange(height, dtype=offset.dtype, device=offset.device).view(1, 1, -1, 1)
    x = torch.arange(width, dtype=offset.dtype, device=offset.device)
    tap = torch.arange(TAPS, device=offset.device).view(1, -1, 1, 1)
    return offset[:, 0::2] + (y + (tap // 3 - 1)), offset[:, 1::2] + (x + (tap % 3 - 1))


def _bilinear(X: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """``X`` [N, C, H, W] read at ``y``, ``x`` [N, H, W]; a corner outside the picture counts as zero."""
    n, c, height, width = X.shape
    value = torch.zeros_like(X)
    for corner_y in (y.floor(), y.floor() + 1):
        for corner_x in (x.floor(), x.floor() + 1):
            share = (1 - (y - corner_y).abs()) * (1 - (x - corner_x).abs())
            inside = (corner_y >= 0) & (corner_y < height) & (corner_x >= 0) & (corner_x < width)
            row = corner_y.clamp(0, height - 1).long() * width + corner_x.clamp(0, width - 1).long()
            pixel = X.flatten(2).gather(2, row.view(n, 1, -1).expand(n, c, -1)).view_as(X)
            value = value + torch.where(inside, share, torch.zeros_like(share)).unsqueeze(1) * pixel
    return value

"""Deformable convolution in plain PyTorch: the meaning of torchvision's and ONNX's operator.

Differentiable in every argument and usable in float64, so that identities can be tested without rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

Pair = int | tuple[int, int]


def deform_conv2d(
    x: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    offset_groups: int = 1,
) -> Tensor:
    """Convolution whose taps are moved by ``offset`` and weighted by ``mask``.

    Output pixel (i, j), tap k = u * kW + v, offset group g reads the input bilinearly at
    ``y = i*s_h - p_h + u*d_h + offset[2*(g*K + k)]``, ``x = j*s_w - p_w + v*d_w + offset[2*(g*K + k) + 1]``,
    in pixels. Corners outside the unpadded picture count as zero.

    Args:
        x: ``[N, C, H, W]``.
        weight: ``[O, C / groups, kH, kW]``.
        offset: ``[N, 2 * offset_groups * K, Ho, Wo]`` in pixels, (y, x) interleaved per tap, K = kH * kW.
        mask: ``[N, offset_groups * K, Ho, Wo]``, any range; None means ones.
        bias: ``[O]``.

    Returns:
        ``[N, O, Ho, Wo]`` in the type of ``x``. Positions are never computed below float32.

    Raises:
        ValueError: shapes that do not fit each other.
    """
    (sh, sw), (ph, pw), (dh, dw) = _pair(stride), _pair(padding), _pair(dilation)
    n, c, h, w = x.shape
    out_ch, in_per_group, kh, kw = weight.shape
    taps = kh * kw
    ho = (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    wo = (w + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    _check(
        c == in_per_group * groups and out_ch % groups == 0,
        f"weight {tuple(weight.shape)}, groups {groups}",
        c,
    )
    _check(c % offset_groups == 0, f"offset_groups {offset_groups}", c)
    _check(
        tuple(offset.shape) == (n, 2 * offset_groups * taps, ho, wo),
        f"offset {tuple(offset.shape)}",
        (n, 2 * offset_groups * taps, ho, wo),
    )
    if mask is not None:
        wanted = (n, offset_groups * taps, ho, wo)
        _check(tuple(mask.shape) == wanted, f"mask {tuple(mask.shape)}", wanted)

    kind = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
    tap_y = torch.arange(kh, device=x.device, dtype=kind).repeat_interleave(kw) * dh - ph
    tap_x = torch.arange(kw, device=x.device, dtype=kind).repeat(kh) * dw - pw
    row = torch.arange(ho, device=x.device, dtype=kind) * sh
    col = torch.arange(wo, device=x.device, dtype=kind) * sw
    moved = offset.to(kind).view(n * offset_groups, taps, 2, ho, wo)
    y = moved[:, :, 0] + (tap_y.view(-1, 1, 1) + row.view(1, -1, 1))
    xx = moved[:, :, 1] + (tap_x.view(-1, 1, 1) + col.view(1, 1, -1))

    # One sampling call for all taps: they are stacked on the grid's rows.
    source = x.to(kind).reshape(n * offset_groups, c // offset_groups, h, w)
    columns = bilinear(source, y.flatten(1, 2), xx.flatten(1, 2))
    columns = columns.view(n, offset_groups, c // offset_groups, taps, ho, wo)
    if mask is not None:
        columns = columns * mask.to(kind).view(n, offset_groups, 1, taps, ho, wo)
    return functional.conv2d(
        columns.reshape(n, c * taps, ho, wo).to(x.dtype),
        weight.reshape(out_ch, in_per_group * taps, 1, 1),
        bias,
        groups=groups,
    )


def bilinear(x: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Bilinear samples of ``x`` [N, C, H, W] at pixel positions ``rows``, ``cols`` [N, Ho, Wo].

    Pixels outside the picture are zero: a position between -1 and 0 still mixes in the first pixel.
    Returns ``[N, C, Ho, Wo]``.
    """
    h, w = x.shape[-2:]
    # align_corners=False: exact for power-of-two sizes, and defined for a size of one.
    grid = torch.stack(((2 * cols + 1) / w - 1, (2 * rows + 1) / h - 1), dim=-1)
    return functional.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _check(ok: bool, seen: str, expected: object) -> None:
    if not ok:
        raise ValueError(f"deform_conv2d: {seen}; expected {expected}")

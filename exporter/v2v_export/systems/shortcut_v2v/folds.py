"""A HetConv as two convolutions or as one, exactly.

``y = G3(x) + F1(x) - G1(x)`` is linear: the subtracted grouped 1x1 goes into the centre tap of the grouped
3x3, and that, made dense, can take the dense 1x1 into its centre too. Kernels are merged in float64 and
rounded once.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from v2v_export.systems.shortcut_v2v.block import HetConv

Fold = Literal["split", "dense"]
"""``"split"``: grouped 3x3 plus dense 1x1, 3.25 MACs per pair of channels. ``"dense"``: one 3x3, 9 MACs."""


def fold_split(het: HetConv) -> tuple[nn.Conv2d, nn.Conv2d]:
    """A HetConv as (grouped 3x3 without bias, dense 1x1 with all of the bias); its value is their sum."""
    grouped, pointwise, bias = _merged(het)
    dtype, groups = het.conv1x1.weight.dtype, het.conv3x3.groups
    return conv_of(grouped, None, dtype, padding=1, groups=groups), conv_of(pointwise, bias, dtype)


def fold_dense(het: HetConv) -> nn.Conv2d:
    """A HetConv as one dense 3x3 convolution."""
    grouped, pointwise, bias = _merged(het)
    rows, cols = (size // het.conv3x3.groups for size in pointwise.shape[:2])
    kernel = grouped.new_zeros(*pointwise.shape[:2], 3, 3)
    for g in range(het.conv3x3.groups):
        own = slice(g * rows, (g + 1) * rows)
        kernel[own, g * cols : (g + 1) * cols] = grouped[own]
    kernel[:, :, 1, 1] += pointwise[:, :, 0, 0]
    return conv_of(kernel, bias, het.conv1x1.weight.dtype, padding=1)


class FoldedHetConv(nn.Module):
    """A HetConv with its 1x1 parts merged, ``[N, i, H, W] -> [N, o, H, W]``."""

    def __init__(self, het: HetConv, fold: Fold) -> None:
        super().__init__()
        self.pointwise: nn.Conv2d | None = None
        if fold == "split":
            self.spatial, self.pointwise = fold_split(het)
        else:
            self.spatial = fold_dense(het)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.spatial(x)
        return y if self.pointwise is None else y + self.pointwise(x)


class FoldedPair(nn.Module):
    """A HetConv over ``cat[x, y]`` as a sum of its two halves, so that the half of y can be computed before.

    Split form: of the groups of ``cat[x, y]``, the first half reads x alone and makes the first half of the
    outputs, the second half reads y alone and makes the second.
    """

    def __init__(self, het: HetConv, fold: Fold) -> None:
        super().__init__()
        half = het.conv3x3.in_channels // 2
        self.split_at = het.conv3x3.out_channels // 2
        self.first_spatial: nn.Conv2d | None = None
        self.second_spatial: nn.Conv2d | None = None
        if fold == "dense":
            whole = fold_dense(het)
            kernel, padding = whole.weight.detach(), 1
        else:
            grouped, whole = fold_split(het)
            kernel, padding = whole.weight.detach(), 0
            kinds = {"padding": 1, "groups": grouped.groups // 2}
            spatial = grouped.weight.detach()
            self.first_spatial = conv_of(spatial[: self.split_at], None, spatial.dtype, **kinds)
            self.second_spatial = conv_of(spatial[self.split_at :], None, spatial.dtype, **kinds)
        bias = None if whole.bias is None else whole.bias.detach()
        self.first_dense = conv_of(kernel[:, :half], None, kernel.dtype, padding=padding)
        self.second_dense = conv_of(kernel[:, half:], bias, kernel.dtype, padding=padding)

    def second(self, y: Tensor) -> Tensor:
        """The share of y, with all of the bias."""
        out: Tensor = self.second_dense(y)
        if self.second_spatial is None:
            return out
        keep, add = out[:, : self.split_at], out[:, self.split_at :]
        return torch.cat((keep, add + self.second_spatial(y)), dim=1)

    def forward(self, x: Tensor, second: Tensor) -> Tensor:
        """The HetConv's value from x and the share of y."""
        out: Tensor = self.first_dense(x) + second
        if self.first_spatial is None:
            return out
        add, keep = out[:, : self.split_at], out[:, self.split_at :]
        return torch.cat((add + self.first_spatial(x), keep), dim=1)


def conv_of(
    kernel: Tensor, bias: Tensor | None, dtype: torch.dtype, *, padding: int = 0, groups: int = 1
) -> nn.Conv2d:
    """A convolution that holds a copy of this kernel and bias in ``dtype``."""
    out_ch, in_per_group, size, _ = kernel.shape
    with torch.device("meta"):
        conv = nn.Conv2d(
            in_per_group * groups, out_ch, size, padding=padding, groups=groups, bias=bias is not None
        )
    conv.weight = nn.Parameter(kernel.to(dtype, copy=True))
    if bias is not None:
        conv.bias = nn.Parameter(bias.to(dtype, copy=True))
    return conv


def _merged(het: HetConv) -> tuple[Tensor, Tensor, Tensor]:
    """Grouped 3x3 kernel less the grouped 1x1, dense 1x1 kernel, and the whole bias, all in float64."""
    g3, g1, f1 = het.conv3x3, het.conv1x1_, het.conv1x1
    assert g3.bias is not None
    assert g1.bias is not None
    assert f1.bias is not None
    grouped = g3.weight.detach().double().clone()
    grouped[:, :, 1, 1] -= g1.weight.detach().double()[:, :, 0, 0]
    bias = g3.bias.detach().double() + f1.bias.detach().double() - g1.bias.detach().double()
    return grouped, f1.weight.detach().double(), bias

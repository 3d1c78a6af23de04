"""The shortcut block, literally: from the reference's features and the current encoder feature to an
estimate of the current decoder feature (equations 1 to 7 of the paper), nothing rewritten.

Attribute names give the published checkpoint's keys. Shapes below: C feature channels, h hidden channels,
H x W the features' size. Offsets are (dy, dx) in pixels of the map that they move.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional
from v2v_export.systems.shortcut_v2v.deform import deform_conv2d
from v2v_export.systems.shortcut_v2v.errors import GeometryError

HET_GROUPS = 4
"""The ``p`` of every HetConv in the paper; all channel counts are multiples of it."""

TAPS = 9
"""Taps of the 3x3 kernels."""


class HetConv(nn.Module):
    """Heterogeneous convolution: ``y = G3(x) + F1(x) - G1(x)``, ``[N, i, H, W] -> [N, o, H, W]``.

    G3 is 3x3 with ``p`` groups (``conv3x3``), F1 is 1x1 dense (``conv1x1``), G1 is 1x1 with ``p`` groups
    (``conv1x1_``). Subtracting G1 takes the in-group part of F1 away, so that a group sees its own channels
    through the 3x3 kernels alone.
    """

    def __init__(self, in_ch: int, out_ch: int, p: int = HET_GROUPS) -> None:
        super().__init__()
        if in_ch % p or out_ch % p or min(in_ch, out_ch) < 1:
            raise GeometryError(
                "V2V-E6012",
                f"HetConv of {in_ch} -> {out_ch} channels in {p} groups",
                f"positive multiples of {p}",
                f"round the channel counts to multiples of {p}",
            )
        self.conv3x3 = nn.Conv2d(in_ch, out_ch, 3, padding=1, groups=p)
        self.conv1x1_ = nn.Conv2d(in_ch, out_ch, 1, groups=p)
        self.conv1x1 = nn.Conv2d(in_ch, out_ch, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv3x3(x) + self.conv1x1(x) - self.conv1x1_(x)
        return y


class GlobalOffset(nn.Module):
    """``[N, 2C, H/2, W/2]`` (current, reference) -> ``[N, 2, H/2, W/2]``: one (dy, dx) per pixel."""

    def __init__(self, feat_ch: int, h: int) -> None:
        super().__init__()
        self.model = nn.Sequential(HetConv(2 * feat_ch, h), nn.ReLU(), HetConv(h, h), nn.ReLU())
        self.offset_conv = nn.Conv2d(h, 2, 1)

    def forward(self, a_t_down: Tensor, a_r_down: Tensor) -> Tensor:
        y: Tensor = self.offset_conv(self.model(torch.cat((a_t_down, a_r_down), dim=1)))
        return y


class LocalOffsetMask(nn.Module):
    """``[N, 2h, H, W]`` (T, R*) -> offsets ``[N, 18, H, W]`` and mask logits ``[N, 9, H, W]``."""

    def __init__(self, h: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            HetConv(2 * h, h), nn.ReLU(), HetConv(h, h), nn.ReLU(), HetConv(h, h), nn.ReLU()
        )
        self.offset_mask_conv = nn.Conv2d(h, 3 * TAPS, 1)

    def forward(self, t: Tensor, r_star: Tensor) -> tuple[Tensor, Tensor]:
        y: Tensor = self.offset_mask_conv(self.model(torch.cat((t, r_star), dim=1)))
        return y[:, : 2 * TAPS], y[:, 2 * TAPS :]


class DeformWeight(nn.Module):
    """The kernel ``[h, h, 3, 3]`` of a deformable convolution, under its name in the checkpoint."""

    def __init__(self, h: int) -> None:
        super().__init__()
        self.regular_conv = nn.Conv2d(h, h, 3, padding=1, bias=False)

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None) -> Tensor:
        return deform_conv2d(x, self.regular_conv.weight, offset, mask, padding=1)


@dataclass(frozen=True)
class BlockTensors:
    """Everything that the block computes, in order. Capitals are reduced features, ``_star`` is "globally
    aligned", ``_half`` and ``_down`` are at half the features' size."""

    F: Tensor
    R: Tensor
    T: Tensor
    a_r_down: Tensor
    a_t_down: Tensor
    R_down: Tensor
    F_down: Tensor
    global_offset: Tensor
    R_deformed_half: Tensor
    F_deformed_half: Tensor
    R_star: Tensor
    F_star: Tensor
    local_offset: Tensor
    mask_logit: Tensor
    mask: Tensor
    Y_cur: Tensor
    Y_ref: Tensor
    Y: Tensor
    f_hat: Tensor

    def asdict(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


class ShortcutBlock(nn.Module):
    """S of equation 3: ``f_hat_t = S(a_t; a_r, f_r)``, all four ``[N, C, H, W]`` with H and W even.

    Args:
        feat_ch: C, channels of the teacher's features at the split; a multiple of 4.
        h: hidden channels, C/2, C/4 or C/8 in the paper; a multiple of 4.
    """

    def __init__(self, feat_ch: int, h: int) -> None:
        super().__init__()
        if min(feat_ch, h) < 1 or feat_ch % HET_GROUPS or h % HET_GROUPS:
            raise GeometryError(
                "V2V-E6012",
                f"shortcut block of {feat_ch} feature channels and h = {h}",
                f"both positive multiples of {HET_GROUPS} (the groups of its HetConvs)",
                "take h = C/2, C/4 or C/8 where that is a multiple of 4, or a teacher of another ngf",
            )
        self.feat_ch, self.h = feat_ch, h
        self.offset_generator_global = GlobalOffset(feat_ch, h)
        self.offset_generator_local = LocalOffsetMask(h)
        self.global_deform_conv = DeformWeight(h)
        self.cr1 = nn.Sequential(nn.Conv2d(feat_ch, h, 1), nn.ReLU())
        self.cr2 = nn.Sequential(nn.Conv2d(feat_ch, h, 1), nn.ReLU())
        self.mask_deform_conv = DeformWeight(h)
        self.recon_ref = nn.Conv2d(h, feat_ch, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The published training's start; biases outside the two heads keep PyTorch's default.

        Zero offset and mask heads make the block start as an even blend of both features without motion.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight, gain=0.02)
        for head in (self.offset_generator_global.offset_conv, self.offset_generator_local.offset_mask_conv):
            nn.init.zeros_(head.weight)
            if head.bias is not None:
                nn.init.zeros_(head.bias)
        for deform in (self.global_deform_conv, self.mask_deform_conv):
            bound = 1 / math.sqrt(self.h * TAPS)
            nn.init.uniform_(deform.regular_conv.weight, -bound, bound)

    def forward(self, a_r: Tensor, a_t: Tensor, f_r: Tensor) -> Tensor:
        """``f_hat_t`` from reference encoder feature, current encoder feature, reference decoder feature."""
        return self.trace(a_r, a_t, f_r).f_hat

    def trace(self, a_r: Tensor, a_t: Tensor, f_r: Tensor, *, detach_aligned: bool = False) -> BlockTensors:
        """The forward pass with every intermediate.

        Args:
            detach_aligned: stop the gradient from the local offsets into the globally aligned ``R_star``,
                as the published training does.
        """
        check_feature_size(a_t.shape[-2], a_t.shape[-1])
        F, R, T = self.cr1(f_r), self.cr2(a_r), self.cr2(a_t)
        a_r_down, a_t_down, R_down, F_down = (_down(item) for item in (a_r, a_t, R, F))

        # Equation 4: one (dy, dx) per pixel serves all nine taps and both reference features.
        global_offset = self.offset_generator_global(a_t_down, a_r_down)
        per_tap = global_offset.repeat(1, TAPS, 1, 1)
        R_half = self.global_deform_conv(R_down, per_tap, None)
        F_half = self.global_deform_conv(F_down, per_tap, None)
        R_star, F_star = _up(R_half), _up(F_half)

        local_offset, mask_logit = self.offset_generator_local(
            T, R_star.detach() if detach_aligned else R_star
        )
        mask = torch.sigmoid(mask_logit)
        # Equation 6: the mask weighs the current frame, its complement the reference.
        Y_cur = self.mask_deform_conv(T, torch.zeros_like(local_offset), mask)
        Y_ref = self.mask_deform_conv(F_star, local_offset, 1 - mask)
        Y = Y_cur + Y_ref
        return BlockTensors(
            F=F,
            R=R,
            T=T,
            a_r_down=a_r_down,
            a_t_down=a_t_down,
            R_down=R_down,
            F_down=F_down,
            global_offset=global_offset,
            R_deformed_half=R_half,
            F_deformed_half=F_half,
            R_star=R_star,
            F_star=F_star,
            local_offset=local_offset,
            mask_logit=mask_logit,
            mask=mask,
            Y_cur=Y_cur,
            Y_ref=Y_ref,
            Y=Y,
            f_hat=self.recon_ref(Y),
        )

    def aligned_reference(self, tensors: BlockTensors) -> Tensor:
        """``f_tilde_r`` [N, C, H, W] of equation 7, reconstructed: what the alignment loss compares with
        the teacher's current feature (equation 8). Training only."""
        y: Tensor = self.recon_ref(self.mask_deform_conv(tensors.F_star, tensors.local_offset, None))
        return y


def check_feature_size(height: int, width: int) -> None:
    """Raise V2V-E6011 for odd feature sizes: halving and doubling would not give them back."""
    if height % 2 or width % 2 or min(height, width) < 2:
        raise GeometryError(
            "V2V-E6011",
            f"features of {height} x {width} at the shortcut's split",
            "an even height and width",
            "use a frame size that frame_multiple() of the dependence level divides",
        )


def _down(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)


def _up(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)

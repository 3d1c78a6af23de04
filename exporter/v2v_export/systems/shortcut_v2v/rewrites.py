"""The shortcut block in the form that is exported: four exact rewrites of the literal one.

1. One offset per pixel serves all taps of the global deformable convolution, so it is a plain convolution
   (padding 2, on a plane that is one pixel larger on each side) and one bilinear sampling of its result.
2. Adaptive blending puts both sums of equation 6 into one: per tap
   ``col_k = F*(p + p_k + D_k) + m_k (T(p + p_k) - F*(p + p_k + D_k))``, then one product with W_l.
3. What depends on the reference alone is computed once, when the reference is: {Z_R, Z_F, P_ref}, a fifth of
   the size of {a_r, f_r}.
4. Bilinear halving of an even size is 2x2 average pooling; a HetConv folds into two convolutions or one.

Equal to the literal block up to rounding. Everything traces with static shapes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from v2v_export.export.precision import Float32Island
from v2v_export.systems.shortcut_v2v.block import TAPS, HetConv, ShortcutBlock, check_feature_size
from v2v_export.systems.shortcut_v2v.deform import bilinear
from v2v_export.systems.shortcut_v2v.folds import Fold, FoldedHetConv, FoldedPair, conv_of

AdaBD = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""``ada_bd(T, F_star, offset, mask, weight) -> Y``: see ``torch_ada_bd``."""

Sample = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``sample(x, rows, cols)``: see ``torch_sample``."""


def torch_sample(x: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Bilinear samples of ``x`` [N, C, H, W] at pixel positions [N, Ho, Wo], zero outside: [N, C, Ho, Wo].

    Positions and weights are float32 at least: half precision has no sub-pixel left at a few hundred pixels.
    """
    kind = torch.promote_types(x.dtype, torch.float32)
    return bilinear(x.to(kind), rows.to(kind), cols.to(kind)).to(x.dtype)


def torch_ada_bd(T: Tensor, F_star: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Adaptive blending and deformation (equation 6) in one product; the shared kernel is read once.

    Args:
        T: ``[N, h, H, W]``, the reduced current feature.
        F_star: ``[N, h, H, W]``, the globally aligned reference feature.
        offset: ``[N, 18, H, W]`` in pixels, (dy, dx) per tap.
        mask: ``[N, 9, H, W]``, the current frame's share per tap.
        weight: ``[h, h, 3, 3]``.

    Returns:
        ``Y`` [N, h, H, W].
    """
    n, h, height, width = T.shape
    padded = functional.pad(T, (1, 1, 1, 1))
    shifts = [(u, v) for u in range(3) for v in range(3)]
    still = torch.stack([padded[:, :, u : u + height, v : v + width] for u, v in shifts], dim=2)
    kind = torch.promote_types(T.dtype, torch.float32)
    row = torch.arange(height, dtype=kind, device=T.device).view(-1, 1)
    col = torch.arange(width, dtype=kind, device=T.device)
    moves = offset.to(kind)
    rows = torch.cat([moves[:, 2 * k] + (row + (u - 1)) for k, (u, _) in enumerate(shifts)], dim=1)
    cols = torch.cat([moves[:, 2 * k + 1] + (col + (v - 1)) for k, (_, v) in enumerate(shifts)], dim=1)
    moved = torch_sample(F_star, rows, cols).view(n, h, TAPS, height, width)
    columns = moved + mask.unsqueeze(1) * (still - moved)
    return functional.conv2d(columns.reshape(n, h * TAPS, height, width), weight.reshape(h, h * TAPS, 1, 1))


class OffsetGenerator(Float32Island):
    """Layers that make offsets and masks, float32 even in a half-precision block; their output stays wide.

    At 8 pixels half precision has no more than 1/128 of one, and what the stream wrote with such an offset is
    what its next reference is made of: with a last layer alone in float32, 64 frames drift by 2.4e-2 at
    random weights, with all of them by 1.5e-2.
    """

    def forward(self, *inputs: Tensor) -> Tensor:
        offsets: Tensor = self.inner(*map(_wide, inputs))
        return offsets


class GlobalOffsets(OffsetGenerator):
    """The global offset generator, whose first layer is split between the frames: see ``FoldedPair``."""

    def __init__(self, first: FoldedPair, rest: nn.Module) -> None:
        super().__init__(rest)
        self.first = first

    def share(self, a_r: Tensor) -> Tensor:
        """The reference's share of the first layer, as narrow as ``a_r``: it is state."""
        return self.first.second(_wide(a_r)).to(a_r.dtype)

    def forward(self, *inputs: Tensor) -> Tensor:
        a_t, share = inputs
        offsets: Tensor = self.inner(self.first(_wide(a_t), _wide(share)))
        return offsets


class RewrittenBlock(nn.Module):
    """The block after the four rewrites, in two parts: ``reference_state`` and ``forward``.

    Sizes: C and h as in ``ShortcutBlock``, features H x W, both even.

    Args:
        block: the literal block; its weights are copied.
        fold: form of the HetConvs.
        ada_bd, sample: the two sampling operations, in the form wanted in the graph.
    """

    def __init__(
        self,
        block: ShortcutBlock,
        fold: Fold = "split",
        ada_bd: AdaBD = torch_ada_bd,
        sample: Sample = torch_sample,
    ) -> None:
        super().__init__()
        self.feat_ch, self.h = block.feat_ch, block.h
        self._ada_bd, self._sample = ada_bd, sample
        self.reduce_f = copy.deepcopy(block.cr1)
        self.reduce_a = copy.deepcopy(block.cr2)
        first, _, second, _ = block.offset_generator_global.model
        assert isinstance(first, HetConv)
        assert isinstance(second, HetConv)
        self.global_offsets = GlobalOffsets(
            FoldedPair(first, fold),
            nn.Sequential(
                nn.ReLU(),
                FoldedHetConv(second, fold),
                nn.ReLU(),
                copy.deepcopy(block.offset_generator_global.offset_conv),
            ),
        )
        self.local_offsets = OffsetGenerator(
            nn.Sequential(
                *(
                    FoldedHetConv(module, fold) if isinstance(module, HetConv) else nn.ReLU()
                    for module in block.offset_generator_local.model
                ),
                copy.deepcopy(block.offset_generator_local.offset_mask_conv),
            )
        )
        kernel = block.global_deform_conv.regular_conv.weight.detach()
        self.global_conv = conv_of(kernel, None, kernel.dtype, padding=2)
        self.local_weight = nn.Parameter(block.mask_deform_conv.regular_conv.weight.detach().clone())
        self.reconstruct = copy.deepcopy(block.recon_ref)

    @classmethod
    def from_block(
        cls,
        block: ShortcutBlock,
        *,
        fold: Fold = "split",
        ada_bd: AdaBD = torch_ada_bd,
        sample: Sample = torch_sample,
    ) -> RewrittenBlock:
        """The rewritten form of a literal block, in eval mode, in the block's type."""
        return cls(block, fold, ada_bd, sample).eval()

    def state_shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int, int]]:
        """Shapes of ``reference_state``'s tensors for features of ``height`` x ``width``."""
        check_feature_size(height, width)
        plane = (1, self.h, height // 2 + 2, width // 2 + 2)
        return {"z_r": plane, "z_f": plane, "p_ref": (1, self.h, height // 2, width // 2)}

    def reference_state(self, a_r: Tensor, f_r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What later frames need of a reference.

        Args:
            a_r: ``[N, C, H, W]``, its encoder feature.
            f_r: ``[N, C, H, W]``, its decoder feature.

        Returns:
            ``z_r`` and ``z_f`` [N, h, H/2 + 2, W/2 + 2]: the reduced, halved features after the global
            kernel, before sampling; ``p_ref`` [N, h, H/2, W/2]: the reference's share of the first layer of
            the global offsets.
        """
        check_feature_size(a_r.shape[-2], a_r.shape[-1])
        z_r = self.global_conv(_halve(self.reduce_a(a_r)))
        z_f = self.global_conv(_halve(self.reduce_f(f_r)))
        return z_r, z_f, self.global_offsets.share(_halve(a_r))

    def forward(self, a_t: Tensor, z_r: Tensor, z_f: Tensor, p_ref: Tensor) -> Tensor:
        """``f_hat_t`` [N, C, H, W] from the current encoder feature and a reference state."""
        check_feature_size(a_t.shape[-2], a_t.shape[-1])
        offset = self.global_offsets(_halve(a_t), p_ref)
        # The plane starts one pixel before the feature, and the sum over taps turned p + p_k into p + 1.
        kind = torch.promote_types(offset.dtype, torch.float32)
        height, width = offset.shape[-2:]
        row = torch.arange(1, height + 1, dtype=kind, device=offset.device).view(-1, 1)
        col = torch.arange(1, width + 1, dtype=kind, device=offset.device)
        rows, cols = offset[:, 0].to(kind) + row, offset[:, 1].to(kind) + col
        # Both planes move alike: joined, positions are computed and resized once.
        moved = _double(self._sample(torch.cat((z_r, z_f), dim=1), rows, cols))
        R_star, F_star = moved[:, : self.h], moved[:, self.h :]

        T = self.reduce_a(a_t)
        moves = self.local_offsets(torch.cat((T, R_star), dim=1))
        mask = torch.sigmoid(moves[:, 2 * TAPS :]).to(T.dtype)
        f_hat: Tensor = self.reconstruct(
            self._ada_bd(T, F_star, moves[:, : 2 * TAPS], mask, self.local_weight)
        )
        return f_hat


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.float16 else x


def _halve(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 2)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)

"""Cross-attention's keys and values of a prompt, for all layers at once: run when the prompt changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from v2v_export.diffusion import layers
from v2v_export.diffusion.precision import in_precision
from v2v_export.diffusion.unet import check_supported, walk_cross_attention


class CrossKV(nn.Module):
    """Prompt embeddings -> k and v of every cross-attention layer, and SDXL's added conditioning.

    Args:
        unet: diffusers' ``UNet2DConditionModel``; its tensors are shared where their type is ``dtype``.
        dtype: of weights and results.
        pick: the prompt rows that the results' rows show, such as (0, 1, 1); None: all, once, in order.
    """

    def __init__(
        self, unet: nn.Module, dtype: torch.dtype = torch.float32, pick: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        source: Any = unet
        check_supported(source.config)
        projections = [(module.heads, module.to_k, module.to_v) for _, module in walk_cross_attention(source)]
        self.heads = [heads for heads, _, _ in projections]
        self.to_k = in_precision(nn.ModuleList([to_k for _, to_k, _ in projections]), dtype)
        self.to_v = in_precision(nn.ModuleList([to_v for _, _, to_v in projections]), dtype)
        self.dtype, self.pick = dtype, None if pick is None else list(pick)
        self.time_proj: Any = None
        if source.config.addition_embed_type == "text_time":
            self.time_proj = source.add_time_proj
            self.add_embedding = in_precision(source.add_embedding, dtype)

    def forward(
        self, embeds: Tensor, pooled: Tensor | None = None, time_ids: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """k_00, v_00, k_01, ... each [rows, heads, tokens, head_dim], then [rows, D] for SDXL.

        Args:
            embeds: the prompt's embeddings [rows, tokens, width].
            pooled: SDXL's pooled embedding [rows, P].
            time_ids: SDXL's original size, crop and target size [rows, 6]: height, width, top, left, height,
                width in pixels.
        """
        if self.pick is not None:
            embeds = embeds[self.pick]
        embeds = embeds.to(self.dtype)
        made: list[Tensor] = []
        for heads, to_k, to_v in zip(self.heads, self.to_k, self.to_v, strict=True):
            made += [layers.split_heads(to_k(embeds), heads), layers.split_heads(to_v(embeds), heads)]
        if self.time_proj is not None:
            assert pooled is not None
            assert time_ids is not None
            made.append(self._added(pooled, time_ids))
        return tuple(made)

    def _added(self, pooled: Tensor, time_ids: Tensor) -> Tensor:
        config = self.time_proj
        sizes = layers.sinusoid(
            time_ids.flatten(),
            config.num_channels,
            flip=config.flip_sin_to_cos,
            shift=config.downscale_freq_shift,
        ).reshape(len(time_ids), -1)
        added: Tensor = self.add_embedding(torch.cat((pooled.to(self.dtype), sizes.to(self.dtype)), -1))
        return added if self.pick is None else added[self.pick]

"""The ends that every diffusion stream has: a frame to a noisy latent, a latent to a frame, a prompt to K/V.

Latents are float32 at all ports, whatever the variant: what a sampler's table does to them is a few additions
beside the networks' work, and half precision would round at every step of every frame. Only networks run in
``dtype``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from v2v_export.diffusion.cross_kv import CrossKV
from v2v_export.diffusion.pictures import to_levels
from v2v_export.diffusion.vae import Decoder, Encoder
from v2v_export.export.finite import all_finite


class Encode(nn.Module):
    """frame, start, first_noise -> x_new, ok | latent: ``x_new = s0 latent + s1 noise``.

    frame uint8 [1, H, W, 3]; start float32 [2] is (s0, s1), the shares of picture and noise at the first
    timestep; first_noise, x_new and latent float32 [1, 4, H / 8, W / 8].
    """

    def __init__(self, vae: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.encoder = Encoder(vae, dtype)

    def forward(self, frame: Tensor, start: Tensor, first_noise: Tensor) -> tuple[Tensor, ...]:
        latent = self.encoder(frame).float()
        x_new = start[0] * latent + start[1] * first_noise
        return x_new, all_finite(x_new), latent


class Decode(nn.Module):
    """clean -> out, ok | out_float: float32 [1, 4, h, w] to uint8 [1, 8 h, 8 w, 3].

    ``ok`` looks at what goes into the clamp, which makes black or white of an infinity.
    """

    def __init__(self, vae: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.decoder = Decoder(vae, dtype)

    def forward(self, clean: Tensor) -> tuple[Tensor, ...]:
        picture = self.decoder.picture(clean)
        out, shown = to_levels(picture)
        return out, all_finite(picture), shown


class PromptKV(nn.Module):
    """prompt_embeds[, pooled_embeds, time_ids] -> k and v of every cross-attention[, added], ok.

    Args:
        pick: which prompt row each row of the result shows; None: all, in order.
    """

    def __init__(self, unet: nn.Module, dtype: torch.dtype, pick: Sequence[int] | None = None) -> None:
        super().__init__()
        self.cross = CrossKV(unet, dtype, pick)

    def forward(self, *conditioning: Tensor) -> tuple[Tensor, ...]:
        made = self.cross(*conditioning)
        return *made, all_finite(*made)

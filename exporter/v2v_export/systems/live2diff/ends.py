"""How a step begins, for one frame and for the warm-up's eight: depth, then frame and depth encoded."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from v2v_export.diffusion.pictures import to_picture
from v2v_export.diffusion.vae import Encoder
from v2v_export.export.finite import all_finite
from v2v_export.systems.live2diff.depth import DepthPicture
from v2v_export.systems.live2diff.sampling import noisy


class Depth(nn.Module):
    """frame uint8 [G, H, W, 3] -> depth [G, 3, H, W] in [-1, 1], normalised over all G frames."""

    def __init__(self, depth: DepthPicture) -> None:
        super().__init__()
        self.depth = depth

    def forward(self, frame: Tensor) -> Tensor:
        made: Tensor = self.depth(to_picture(frame, torch.float32))
        return made.to(self.depth.dtype)


class Encode(nn.Module):
    """frame, depth, start, noise_start, frame_index -> x, cond, ok.

    Frame and depth picture go through the autoencoder as one batch. ``x`` [G, 4, h, w] is the frame's latent,
    noised for row 0; ``cond`` [G, C0, h, w] is what the depth latent adds to the UNet's first feature, made
    once per frame: it depends on nothing else, so it can ride along in place of the depth latent.

    Args:
        encoder: of the autoencoder.
        condition: E_cond, depth latents [G, 4, h, w] -> [G, C0, h, w].
    """

    def __init__(self, encoder: Encoder, condition: nn.Module) -> None:
        super().__init__()
        self.encoder, self.condition = encoder, condition

    def forward(
        self, frame: Tensor, depth: Tensor, start: Tensor, noise_start: Tensor, frame_index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        pictures = torch.cat((to_picture(frame, depth.dtype), depth))
        latents = (self.encoder.encode(pictures) - self.encoder.offset) * self.encoder.factor
        latent, depth_latent = latents.chunk(2)
        x = noisy(latent, start, noise_start, frame_index)
        cond: Tensor = self.condition(depth_latent)
        return x, cond, all_finite(x, cond)

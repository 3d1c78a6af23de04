"""The student's steps as modules that become graphs.

Latents are float32 at every port, whatever the variant: a table step multiplies by up to 1.4 and adds, eight
times over, and its operands cost nothing beside the UNet's.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from v2v_export.diffusion.unet import StreamUNet
from v2v_export.export.finite import all_finite


class Denoise(nn.Module):
    """One step for each of R rows: x, timesteps, a, b, guidance, added, cross... -> x_next, ok.

    ``x_next = a x + b o`` with ``o = uncond + guidance (cond - uncond)``: both predictions come from one run
    of the UNet on 2 R rows, all of them with the negative prompt and then all with the prompt.

    x, x_next float32 [R, 4, h, w]; timesteps int64 [R]; a, b float32 [R]; guidance float32 [1]; added [2, D]
    and cross [2, heads, 77, head_dim] of (negative prompt, prompt).
    """

    def __init__(self, unet: nn.Module, dtype: torch.dtype, lowering: Mapping[str, str]) -> None:
        super().__init__()
        self.unet = StreamUNet(unet, dtype, lowering)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        a: Tensor,
        b: Tensor,
        guidance: Tensor,
        added: Tensor,
        *cross: Tensor,
    ) -> tuple[Tensor, Tensor]:
        rows = torch.cat((x, x)).to(self.unet.dtype)
        predicted = self.unet(rows, torch.cat((timesteps, timesteps)), cross, added).float()
        uncond, cond = predicted.chunk(2)
        o = uncond + guidance * (cond - uncond)
        x_next = a[:, None, None, None] * x + b[:, None, None, None] * o
        return x_next, all_finite(x_next)


class DenoiseBatch(nn.Module):
    """``Denoise`` on the newest latent and those in flight: x_new, waiting, ... -> clean, new_waiting, ok.

    Row 0 is the newest and noisiest. waiting float32 [N - 1, 4, h, w] holds the latents that are before steps
    1 to N - 1; the last row's result is the one that is ready, clean [1, 4, h, w].
    """

    def __init__(self, unet: nn.Module, dtype: torch.dtype, lowering: Mapping[str, str]) -> None:
        super().__init__()
        self.step = Denoise(unet, dtype, lowering)

    def forward(self, x_new: Tensor, waiting: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_next, ok = self.step(torch.cat((x_new, waiting)), *rest)
        return x_next[-1:], x_next[:-1], ok

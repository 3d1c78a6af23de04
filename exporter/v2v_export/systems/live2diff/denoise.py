"""The UNet's two graphs with the sampler around them: one denoising step of a warm-up, one of the stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from v2v_export.export.finite import all_finite
from v2v_export.systems.live2diff.layout import Layout
from v2v_export.systems.live2diff.options import WARMUP_FRAMES
from v2v_export.systems.live2diff.sampling import advanced
from v2v_export.systems.live2diff.unet_graphs import UnetStep, UnetWarmup


class DenoiseWarmup(nn.Module):
    """x, cond, timestep, coefficients, frame_index, cross...[, noise_step] -> x_next, ok, warm...

    Latents are float32 at the ports; the network has its own type. ``ok`` looks at ``x_next``: a module with
    a sink that is no number gives NaN.
    """

    def __init__(self, unet: UnetWarmup, layout: Layout) -> None:
        super().__init__()
        self.unet = unet
        self.cross, self.noise = len(layout.cross), layout.rows > 1

    def forward(self, *ports: Tensor) -> tuple[Tensor, ...]:
        x, cond, timestep, coefficients, frame_index, *rest = ports
        table = rest[self.cross] if self.noise else None
        eps, rows = self.unet(x.to(cond.dtype), cond, timestep, rest[: self.cross])
        x_next = advanced(x, eps, coefficients, table, frame_index, WARMUP_FRAMES)
        return x_next, all_finite(x_next), *rows


class DenoiseStep(nn.Module):
    """x, cond[, x_buffer, cond_buffer], step, frame_index, timesteps, coefficients[, noise_step], cross...,
    sinks..., rings... -> clean, ok[, x_buffer_next, cond_buffer_next], new...

    A NaN in a row's latent, or in what it attends, is one in that row's next latent, which ``ok`` looks at.
    So is an infinity, and one in the entries that are about to be committed: ``v2v::WindowAttention`` makes
    NaN of a new token whose score is not finite. Left at minus infinity, the score of a key past half
    precision would take no part in its own step, and the key would lie in the ring until a later query meets
    it. Looking at the entries themselves would cost two kernels for each of the 40 attentions, 8 % of the
    step's; the score is at hand inside the kernel that there is.
    """

    def __init__(self, unet: UnetStep, layout: Layout) -> None:
        super().__init__()
        self.unet = unet
        self.rows = layout.rows
        self.counts = len(layout.cross), len(layout.sinks), len(layout.rings)

    def forward(self, *ports: Tensor) -> tuple[Tensor, ...]:
        rest = list(ports)
        x, cond = rest.pop(0), rest.pop(0)
        if self.rows > 1:
            x, cond = torch.cat((x, rest.pop(0))), torch.cat((cond, rest.pop(0)))
        step, frame_index, timesteps, coefficients = (rest.pop(0) for _ in range(4))
        table = rest.pop(0) if self.rows > 1 else None
        groups = []
        for count in self.counts:
            groups.append(rest[:count])
            rest = rest[count:]
        eps, entries = self.unet(x.to(cond.dtype), cond, timesteps, step, *groups)
        moved = advanced(x, eps, coefficients, table, frame_index, 1)
        clean, ok = moved[-1:], all_finite(moved)
        if self.rows == 1:
            return clean, ok, *entries
        return clean, ok, moved[:-1], cond[:-1], *entries

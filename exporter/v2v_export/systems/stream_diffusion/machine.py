"""The literal latent machine: batched denoising with residual classifier-free guidance (RCFG).

One call takes one new latent, puts it in front of the T - 1 latents that earlier calls left half denoised,
predicts all T at once (row 0 newest and noisiest, row T - 1 oldest and cleanest), hands the cleanest out and
keeps the others, each noised to the next row's level. Sections 3.1 and 3.2 of the StreamDiffusion paper
(Kodaira et al., 2023); where paper and published code differ, the code, which is what people run.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from v2v_export.systems.stream_diffusion.options import CfgType
from v2v_export.systems.stream_diffusion.schedule import Steps

Predict = Callable[[Tensor, Tensor, tuple[bool, ...]], Tensor]
"""(sample [R, 4, h, w], timesteps [R], whether each row is unconditional) -> predicted noise [R, 4, h, w]."""


class LatentMachine:
    """See the module's docstring. Computes in the steps' dtype.

    Args:
        steps: of T steps.
        init_noise: [T * frame_buffer, 4, h, w], the same for every frame.
        predict: the UNet.
        cfg: how guidance is computed.
        guidance: g; at most 1 is off. May be set between calls.
        delta: weight of the virtual residual noise. May be set between calls.
        add_noise: whether a latent is noised again on its way to the next row.
        frame_buffer: frames that one call takes. The stream takes one; with T = 1 the published code takes
            more, which is here because its golden data has it.
    """

    def __init__(
        self,
        steps: Steps,
        init_noise: Tensor,
        predict: Predict,
        *,
        cfg: CfgType = "none",
        guidance: float = 1.0,
        delta: float = 1.0,
        add_noise: bool = True,
        frame_buffer: int = 1,
    ) -> None:
        self.steps = steps
        self.timesteps, self.alpha, self.beta = (
            item.repeat_interleave(frame_buffer, 0) for item in (steps.timesteps, steps.alpha, steps.beta)
        )
        self.init_noise = init_noise.to(self.alpha.dtype)
        self.predict = predict
        self.cfg = cfg
        self.guidance, self.delta = guidance, delta
        self.add_noise = add_noise
        self.count = len(steps.timesteps)
        self.reset()

    def reset(self) -> None:
        """Back to before the first call: an empty buffer and no residual noise."""
        self.buffer = torch.zeros_like(self.init_noise[: self.count - 1])
        self.stock = torch.zeros_like(self.init_noise)

    def noised(self, z: Tensor) -> Tensor:
        """A clean latent [F, 4, h, w] at the first step's noise level."""
        return self.alpha[0] * z + self.beta[0] * self.init_noise[0]

    def step(self, z: Tensor) -> Tensor:
        """One call: a new clean latent in, the oldest one's clean prediction out, both [F, 4, h, w].

        The first T - 1 answers come from the empty buffer and mean nothing.
        """
        return self.step_noised(self.noised(z))

    @torch.no_grad()
    def step_noised(self, x_new: Tensor) -> Tensor:
        """``step`` for a latent that is noised already."""
        x = x_new
        if self.count > 1:
            x = torch.cat([x_new, self.buffer])
            self.stock = torch.cat([self.init_noise[:1], self.stock[:-1]])
        eps = self._guided(x)
        x0 = self._clean(x, eps)
        if self.cfg in ("self", "initialize"):
            self._renew_stock(eps)
        if self.count > 1:
            out = x0[-1:]
            self.buffer = self.alpha[1:] * x0[:-1]
            if self.add_noise:
                self.buffer = self.buffer + self.beta[1:] * self.init_noise[1:]
            return out
        return x0

    def _guided(self, x: Tensor) -> Tensor:
        """The noise that the step uses, [B, 4, h, w]."""
        rows, t, active = len(x), self.timesteps, self.guidance > 1.0
        if active and self.cfg == "full":
            flags = (True,) * rows + (False,) * rows
            uncond, cond = self.predict(torch.cat([x, x]), torch.cat([t, t]), flags).chunk(2)
        elif active and self.cfg == "initialize":
            flags = (True,) + (False,) * rows
            raw = self.predict(torch.cat([x[:1], x]), torch.cat([t[:1], t]), flags)
            self.stock = torch.cat([raw[:1], self.stock[1:]])
            uncond, cond = self.delta * self.stock, raw[1:]
        else:
            cond = self.predict(x, t, (False,) * rows)
            if not active or self.cfg == "none":
                return cond
            uncond = self.delta * self.stock
        return uncond + self.guidance * (cond - uncond)

    def _clean(self, x: Tensor, eps: Tensor) -> Tensor:
        """The consistency model's estimate of the clean latent."""
        estimate = (x - self.beta * eps) / self.alpha
        return self.steps.c_out * estimate + self.steps.c_skip * x

    def _renew_stock(self, eps: Tensor) -> None:
        """The residual noise that the next call takes for the unconditional prediction."""
        one = torch.ones_like(self.alpha[:1])
        residue = self._clean(self.beta * self.stock, eps)
        residue = residue * torch.cat([self.alpha[1:], one]) / torch.cat([self.beta[1:], one])
        self.stock = torch.roll(self.init_noise, -1, 0) + residue

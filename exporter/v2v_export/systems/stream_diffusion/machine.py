"""The literal latent machine: batched denoising with residual classifier-free guidance (RCFG).

One call takes one new latent, puts it in front of the T - 1 latents that earlier calls left half denoised,
predicts all T at once (row 0 newest and noisiest, row T - 1 oldest and cleanest), hands the cleanest out and
keeps the others, each moved on to the next row's level. Sections 3.1 and 3.2 of the StreamDiffusion paper
(Kodaira et al., 2023); where paper and published code differ, the code, which is what people run. It has LCM
alone; what residual guidance is with other samplers follows from what the residual noise is, see
``_renew_stock``.
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
        steps: of T steps, each as often as there are frames in a call.
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
        self.timesteps = steps.timesteps
        self.init_noise = init_noise.to(steps.alpha.dtype)
        self.predict = predict
        self.cfg = cfg
        self.guidance, self.delta = guidance, delta
        self.add_noise = add_noise
        self.count = len(steps.timesteps) // frame_buffer
        self.reset()

    def reset(self) -> None:
        """Back to before the first call: an empty buffer and no residual noise."""
        self.buffer = torch.zeros_like(self.init_noise[: self.count - 1])
        self.stock = torch.zeros_like(self.init_noise)

    def noised(self, z: Tensor) -> Tensor:
        """A clean latent [F, 4, h, w] at the first step's noise level."""
        return self.steps.alpha[0] * z + self.steps.beta[0] * self.init_noise[0]

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
        if self.cfg in ("self", "initialize"):
            self._renew_stock(eps)
        moving = self.count - 1
        if moving:
            fresh = self.init_noise[1:] if self.add_noise else torch.zeros_like(self.init_noise[1:])
            self.buffer = self.steps.onward(x[:moving], eps[:moving], fresh)
        return self.steps.result(x[moving:], eps[moving:])

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

    def _renew_stock(self, eps: Tensor) -> None:
        """The residual noise that the next call takes for the unconditional prediction.

        The residual noise S of a row is what makes its latent from the frame's own one: x = alpha z + beta S.
        Steps are linear, and take the share alpha z on to that of the next row, so what becomes of beta S
        there, over that row's beta, is the residual noise in it. As published, noise is added here whatever
        ``add_noise`` says, and the last row, from which none goes on, keeps its clean estimate.
        """
        level, following = self.steps.beta * self.stock, torch.roll(self.init_noise, -1, 0)
        moved = self.steps.onward(level[:-1], eps[:-1], following[:-1]) / self.steps.beta[1:]
        self.stock = torch.cat((moved, self.steps.clean(level[-1:], eps[-1:]) + following[-1:]))

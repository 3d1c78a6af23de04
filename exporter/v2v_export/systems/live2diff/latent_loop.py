"""The literal loop over latents: the method's equations (sections 3, 4.1 and 4.2), one tensor at a time.

It judges the exported stream, so it shares none of its shortcuts: coefficients come from the definition of
the schedule and not from the sampler's table, depth latents ride along instead of their features, and the
UNet behind it attends over everything that it has seen instead of over caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Denoiser(Protocol):
    """The literal UNet with a memory of its own: what each row has seen."""

    def reset(self) -> None:
        """Forgets every frame."""

    def warmup(self, row: int, sample: Tensor, depth: Tensor, timestep: int, prompt: Tensor) -> Tensor:
        """Noise of the eight warm-up latents [8, 4, h, w] under depth latents of that shape; row ``row``
        remembers them."""

    def step(self, number: int, sample: Tensor, depth: Tensor, timesteps: Tensor, prompt: Tensor) -> Tensor:
        """Noise of T latents [T, 4, h, w] of step ``number`` after the warm-up; rows remember their own."""


@dataclass(frozen=True)
class Levels:
    """Row by row, float64 [T]: shares of picture and noise at its timestep, and LCM's boundary terms."""

    alpha: Tensor
    beta: Tensor
    c_skip: Tensor
    c_out: Tensor


def levels(timesteps: Sequence[int]) -> Levels:
    """Section 4.2: betas 0.00085 to 0.012 in even steps, and LCM's terms for sigma 0.5 at ten times t.

    The product over the schedule is taken in float32, as the scheduler of the published pipeline takes it.
    """
    betas = torch.linspace(0.00085, 0.012, 1000, dtype=torch.float32)
    left = torch.cumprod(1.0 - betas, 0)[list(timesteps)].double()
    scaled = 10.0 * torch.tensor(timesteps, dtype=torch.float64)
    return Levels(
        alpha=left.sqrt(),
        beta=(1 - left).sqrt(),
        c_skip=0.25 / (scaled**2 + 0.25),
        c_out=scaled / (scaled**2 + 0.25).sqrt(),
    )


@dataclass(frozen=True)
class Seen:
    """What the last call computed, for comparing.

    Attributes:
        sample, depth: what the UNet was given; of a warm-up, one of each per call.
        eps: what it said.
        clean: x0 of every row; of a warm-up, after every call.
    """

    sample: Tensor
    depth: Tensor
    eps: Tensor
    clean: Tensor


class LatentLoop:
    """Latents in, latents out; frame s comes out at step s + T - 1.

    Args:
        denoiser: the UNet.
        timesteps: of the rows, falling.
        add_noise: noise a latent anew between its steps.
    """

    def __init__(self, denoiser: Denoiser, timesteps: Sequence[int], add_noise: bool = True) -> None:
        self.denoiser, self.timesteps = denoiser, tuple(timesteps)
        self.levels, self.add_noise = levels(timesteps), add_noise
        self.steps = 0
        self.x_buffer: Tensor | None = None
        self.depth_buffer: Tensor | None = None
        self.seen: Seen | None = None

    @property
    def rows(self) -> int:
        return len(self.timesteps)

    def noisy(self, latent: Tensor, noise: Tensor) -> Tensor:
        """``alpha_0 latent + beta_0 noise``: what row 0 starts from."""
        x: Tensor = self._of(self.levels.alpha[0], latent) * latent
        return x + self._of(self.levels.beta[0], latent) * noise

    def warmup(
        self, latents: Tensor, depths: Tensor, embeds: Tensor, start: Tensor, between: Sequence[Tensor]
    ) -> Tensor:
        """Eight clean latents of the result, from eight of the frames (all [8, 4, h, w]).

        Args:
            start: noise of the eight frames.
            between: noise after each step but the last.
        """
        self.denoiser.reset()
        self.steps = 0
        self.x_buffer = latents.new_zeros(self.rows - 1, *latents.shape[1:])
        self.depth_buffer = torch.zeros_like(self.x_buffer)
        x = self.noisy(latents, start)
        samples: list[Tensor] = []
        noises: list[Tensor] = []
        cleans: list[Tensor] = []
        for row, timestep in enumerate(self.timesteps):
            eps = self.denoiser.warmup(row, x, depths, timestep, embeds)
            clean = self._clean(x, eps, row)
            samples, noises, cleans = [*samples, x], [*noises, eps], [*cleans, clean]
            if row + 1 < self.rows:
                x = self._renoised(clean, between[row], row + 1)
        self.seen = Seen(torch.stack(samples), depths, torch.stack(noises), torch.stack(cleans))
        return cleans[-1]

    def step(
        self, latent: Tensor, depth: Tensor, embeds: Tensor, start: Tensor, between: Sequence[Tensor]
    ) -> Tensor:
        """One frame's latent in, the oldest frame's clean latent out, all [1, 4, h, w].

        The first T - 1 results after a warm-up belong to no frame.

        Args:
            start: the new frame's noise.
            between: for each row r < T - 1, the noise with which its result becomes row r + 1's input.
        """
        assert self.x_buffer is not None
        assert self.depth_buffer is not None
        sample = torch.cat((self.noisy(latent, start), self.x_buffer))
        depths = torch.cat((depth, self.depth_buffer))
        eps = self.denoiser.step(self.steps, sample, depths, torch.tensor(self.timesteps), embeds)
        clean = torch.cat([self._clean(sample[r : r + 1], eps[r : r + 1], r) for r in range(self.rows)])
        moved = [self._renoised(clean[r : r + 1], between[r], r + 1) for r in range(self.rows - 1)]
        self.x_buffer = torch.cat(moved) if moved else self.x_buffer
        self.depth_buffer = depths[:-1]
        self.steps += 1
        self.seen = Seen(sample, depths, eps, clean)
        return clean[-1:]

    def _clean(self, x: Tensor, eps: Tensor, row: int) -> Tensor:
        """``c_out (x - beta eps) / alpha + c_skip x``."""
        alpha, beta = self._of(self.levels.alpha[row], x), self._of(self.levels.beta[row], x)
        guess = (x - beta * eps) / alpha
        clean: Tensor = self._of(self.levels.c_out[row], x) * guess
        return clean + self._of(self.levels.c_skip[row], x) * x

    def _renoised(self, clean: Tensor, noise: Tensor, row: int) -> Tensor:
        moved: Tensor = self._of(self.levels.alpha[row], clean) * clean
        return moved + self._of(self.levels.beta[row], clean) * noise if self.add_noise else moved

    @staticmethod
    def _of(value: Tensor, like: Tensor) -> Tensor:
        return value.to(like.dtype)

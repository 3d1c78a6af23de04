"""A sampler as numbers: every step is ``x <- A x + B o + C z``.

``x`` is the latent, ``o`` what the network gave for it, ``z`` fresh noise. The network's output fixes both
estimates, ``x0 = p x + q o`` and ``noise = r x + w o``; a sampler puts the next latent together from these
two and ``z``, so its step is linear in ``x``, ``o`` and ``z`` whatever the prediction type.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from v2v_export.diffusion.samplers.schedule import NoiseSchedule, Prediction

Row = NDArray[np.float64]
"""One value per step, float64 [N]."""


@dataclass(frozen=True)
class Table:
    """A sampler's steps, the first the noisiest. Compute with these in float32 in the graph.

    Attributes:
        timesteps: int64 [N], the network's timestep input.
        a, b, c: float64 [N]: step k is ``x <- a[k] x + b[k] o + c[k] z``; the last one gives the result.
        start: ``(s0, s1)``: the stream starts with ``x = s0 z0 + s1 noise`` for the frame's latent ``z0``.
        alpha, beta: float64 [N], ``sqrt(abar_t)`` and ``sqrt(1 - abar_t)`` at the timesteps.
        clean_a, clean_b: float64 [N]: what step k takes for the clean latent, ``clean_a[k] x +
            clean_b[k] o``. For LCM that is ``c_skip x + c_out x0``, and a step is
            ``alpha[k+1] clean + beta[k+1] z``.
    """

    timesteps: NDArray[np.int64]
    a: Row
    b: Row
    c: Row
    start: tuple[float, float]
    alpha: Row
    beta: Row
    clean_a: Row
    clean_b: Row

    def __len__(self) -> int:
        return len(self.timesteps)

    @property
    def stochastic(self) -> bool:
        """Whether any step adds fresh noise."""
        return bool(np.any(self.c != 0))

    def coefficients(self) -> NDArray[np.float32]:
        """float32 [N, 3], the columns a, b, c: a param that can be bound to a port."""
        return np.stack([self.a, self.b, self.c], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Estimates:
    """At each step: ``x0 = p x + q o`` and ``noise = r x + w o``, float64 [N] each."""

    p: Row
    q: Row
    r: Row
    w: Row


def estimates(alpha: Row, beta: Row, prediction: Prediction) -> Estimates:
    """What the network's output says, for latents ``alpha x0 + beta noise``."""
    zeros, ones = np.zeros_like(alpha), np.ones_like(alpha)
    if prediction == "epsilon":
        return Estimates(1 / alpha, -beta / alpha, zeros, ones)
    if prediction == "sample":
        return Estimates(zeros, ones, 1 / beta, -alpha / beta)
    return Estimates(alpha, -beta, beta, alpha)


def two_estimates_table(
    schedule: NoiseSchedule,
    timesteps: NDArray[np.int64],
    prediction: Prediction,
    shares: tuple[Row, Row, Row],
) -> Table:
    """The table of a sampler whose step is ``m x0 + n noise + c z``, with ``shares = (m, n, c)``."""
    alpha, beta = schedule.levels(timesteps)
    of = estimates(alpha, beta, prediction)
    m, n, c = shares
    return Table(
        timesteps=timesteps,
        a=m * of.p + n * of.r,
        b=m * of.q + n * of.w,
        c=c,
        start=(float(alpha[0]), float(beta[0])),
        alpha=alpha,
        beta=beta,
        clean_a=of.p,
        clean_b=of.q,
    )

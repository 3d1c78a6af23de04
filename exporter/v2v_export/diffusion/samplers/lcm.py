"""Latent consistency models (Luo et al., 2023): each step guesses the clean latent and noises it again."""

from __future__ import annotations

import numpy as np

from v2v_export.diffusion.samplers.schedule import NoiseSchedule, Prediction
from v2v_export.diffusion.samplers.table import Table, estimates
from v2v_export.diffusion.samplers.timesteps import Timesteps

_SIGMA_DATA = 0.5
_TIMESTEP_SCALING = 10.0


def lcm(
    timesteps: Timesteps, schedule: NoiseSchedule | None = None, prediction: Prediction = "epsilon"
) -> Table:
    """``x <- sqrt(abar_next) d + sqrt(1 - abar_next) z`` with ``d = c_skip x + c_out x0``; the last gives d.

    ``c_skip = s^2 / ((10 t)^2 + s^2)`` and ``c_out = 10 t / sqrt((10 t)^2 + s^2)``, s = 0.5 (equation 9 of
    consistency models with the scaled timestep of the published scheduler).
    """
    schedule = schedule or NoiseSchedule()
    t = timesteps.array()
    alpha, beta = schedule.levels(t)
    of = estimates(alpha, beta, prediction)
    scaled = t * _TIMESTEP_SCALING
    c_skip = _SIGMA_DATA**2 / (scaled**2 + _SIGMA_DATA**2)
    c_out = scaled / np.sqrt(scaled**2 + _SIGMA_DATA**2)
    clean_a, clean_b = c_out * of.p + c_skip, c_out * of.q
    kept, renoised = np.append(alpha[1:], 1.0), np.append(beta[1:], 0.0)
    return Table(
        timesteps=t,
        a=kept * clean_a,
        b=kept * clean_b,
        c=renoised,
        start=(float(alpha[0]), float(beta[0])),
        alpha=alpha,
        beta=beta,
        clean_a=clean_a,
        clean_b=clean_b,
    )

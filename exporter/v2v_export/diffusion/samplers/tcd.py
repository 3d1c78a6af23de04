"""Trajectory consistency distillation (Zheng et al., 2024), and STD students, which are gamma 0 of it."""

from __future__ import annotations

import numpy as np

from v2v_export.diffusion.samplers.errors import SamplerError
from v2v_export.diffusion.samplers.schedule import NoiseSchedule, Prediction
from v2v_export.diffusion.samplers.table import Table, two_estimates_table
from v2v_export.diffusion.samplers.timesteps import Timesteps


def tcd(
    timesteps: Timesteps,
    gamma: float = 0.3,
    schedule: NoiseSchedule | None = None,
    prediction: Prediction = "epsilon",
) -> Table:
    """With u the next timestep (0 after the last) and s = floor((1 - gamma) u): down to s, then up to u.

    ``x_s = sqrt(abar_s) x0 + sqrt(1 - abar_s) noise`` and, where gamma > 0 and for all steps but the last,
    ``x_u = sqrt(abar_u / abar_s) x_s + sqrt(1 - abar_u / abar_s) z``. The last step ends at timestep 0, not
    at a clean latent. diffusers calls gamma ``eta``.

    Raises:
        SamplerError: V2V-E6151: gamma outside [0, 1].
    """
    if not 0 <= gamma <= 1:
        raise SamplerError(
            "V2V-E6151", f"gamma {gamma}", "0 (deterministic) to 1 (all noise is fresh)", "correct it"
        )
    schedule = schedule or NoiseSchedule()
    t = timesteps.array()
    u = np.append(t[1:], 0)
    # The product is a float32 one, as in diffusers: it decides which way 0.7 * 10 is rounded.
    s = np.floor(np.float32(1 - gamma) * u.astype(np.float32)).astype(np.int64)
    alpha_s, beta_s = schedule.levels(s)
    left = schedule.alphas_cumprod
    ratio = left[u] / left[s] if gamma > 0 else np.ones(len(t))
    ratio[-1] = 1.0
    up = np.sqrt(ratio)
    return two_estimates_table(schedule, t, prediction, (up * alpha_s, up * beta_s, np.sqrt(1 - ratio)))

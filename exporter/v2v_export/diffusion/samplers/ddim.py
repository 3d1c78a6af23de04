"""DDIM (Song et al., 2021, equations 12 and 16), and the one step of SD-Turbo, which is its last one."""

from __future__ import annotations

import numpy as np

from v2v_export.diffusion.samplers.errors import SamplerError
from v2v_export.diffusion.samplers.schedule import NoiseSchedule, Prediction
from v2v_export.diffusion.samplers.table import Table, two_estimates_table
from v2v_export.diffusion.samplers.timesteps import Timesteps, listed, trailing


def ddim(
    timesteps: Timesteps,
    eta: float = 0.0,
    schedule: NoiseSchedule | None = None,
    prediction: Prediction = "epsilon",
    *,
    end_clean: bool = False,
) -> Table:
    """``x <- sqrt(abar_u) x0 + sqrt(1 - abar_u - sigma^2) noise + sigma z`` to each step's target u.

    Args:
        timesteps: from ``leading``, ``trailing`` or ``listed``.
        eta: 0 deterministic, 1 as noisy as DDPM: sigma = eta sqrt((1 - abar_u) / (1 - abar_t))
            sqrt(1 - abar_t / abar_u).
        end_clean: a target past the end is the clean latent (``set_alpha_to_one`` in diffusers); else it is
            timestep 0, as in Stable Diffusion's configs.

    Raises:
        SamplerError: V2V-E6151: eta outside [0, 1].
    """
    if not 0 <= eta <= 1:
        raise SamplerError("V2V-E6151", f"eta {eta}", "0 (deterministic) to 1 (as DDPM)", "correct it")
    schedule = schedule or NoiseSchedule()
    t, left = timesteps.array(), schedule.alphas_cumprod
    targets = np.array(timesteps.targets, np.int64)
    end = 1.0 if end_clean else left[0]
    left_u = np.where(targets >= 0, left[np.maximum(targets, 0)], end)
    # With a last step at timestep 0 that ends there, t and u are one level: nothing to add.
    spread = np.maximum(1 - left[t] / left_u, 0.0)
    variance = eta**2 * (1 - left_u) / (1 - left[t]) * spread
    shares = (np.sqrt(left_u), np.sqrt(1 - left_u - variance), np.sqrt(variance))
    return two_estimates_table(schedule, t, prediction, shares)


def turbo(
    timesteps: Timesteps | None = None,
    schedule: NoiseSchedule | None = None,
    prediction: Prediction = "epsilon",
) -> Table:
    """SD-Turbo: one step from timestep 999 to the clean latent, ``x0`` itself.

    With more timesteps (``trailing(N, strength)``) it is Euler's method along the deterministic path, which
    on latents of unit variance is DDIM from each timestep to the next.
    """
    values = (timesteps or trailing(1)).values
    return ddim(listed(values), 0.0, schedule, prediction, end_clean=True)

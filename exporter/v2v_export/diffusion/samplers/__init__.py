"""Samplers as tables: LCM, TCD, DDIM and SD-Turbo as ``x <- A x + B o + C z``. Nothing here needs torch.

>>> table = lcm(indexed([32, 45]))                  # StreamDiffusion
>>> table = lcm(distilled(4, 0.5), NoiseSchedule("linear"))  # Live2Diff
>>> table = tcd(distilled(11, 0.75), gamma=0.0)     # STD: 8 steps
"""

from __future__ import annotations

from v2v_export.diffusion.samplers.ddim import ddim, turbo
from v2v_export.diffusion.samplers.errors import SamplerError
from v2v_export.diffusion.samplers.lcm import lcm
from v2v_export.diffusion.samplers.schedule import NoiseSchedule, Prediction, parse_prediction
from v2v_export.diffusion.samplers.table import Table
from v2v_export.diffusion.samplers.tcd import tcd
from v2v_export.diffusion.samplers.timesteps import (
    Convention,
    Timesteps,
    distilled,
    indexed,
    leading,
    listed,
    trailing,
)

__all__ = [
    "Convention",
    "NoiseSchedule",
    "Prediction",
    "SamplerError",
    "Table",
    "Timesteps",
    "ddim",
    "distilled",
    "indexed",
    "lcm",
    "leading",
    "listed",
    "parse_prediction",
    "tcd",
    "trailing",
    "turbo",
]

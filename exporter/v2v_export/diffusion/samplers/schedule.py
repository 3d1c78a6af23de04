"""The noise schedule that a model was trained with: how much of the picture is left at each timestep.

A noisy latent at timestep t is ``sqrt(abar_t) z + sqrt(1 - abar_t) noise``. The schedule is computed the way
PyTorch does it, in the same precision: near t = 0 the noise share is what is left of 1 after subtracting
a float32, so a more exact schedule would be another one, by 2.6e-5, than the one the model was trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from v2v_export.diffusion.samplers.errors import SamplerError

TRAINING_STEPS = 1000
"""Timesteps run from 0 to 999, clean to noise, in every model here."""

Spacing = Literal["scaled_linear", "linear"]
Prediction = Literal["epsilon", "sample", "v_prediction"]
"""What the network estimates: the noise, the clean latent x0, or ``sqrt(abar) noise - sqrt(1 - abar) x0``."""


@dataclass(frozen=True)
class NoiseSchedule:
    """beta_t from ``beta_start`` to ``beta_end`` over 1000 timesteps, and abar_t, the product of 1 - beta.

    Attributes:
        spacing: ``scaled_linear``: the root of beta rises evenly (Stable Diffusion). ``linear``: beta itself
            does (AnimateDiff, Live2Diff).
        beta_start, beta_end: above 0, below 1.
    """

    spacing: Spacing = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.012

    def __post_init__(self) -> None:
        if self.spacing not in get_args(Spacing):
            raise SamplerError(
                "V2V-E6155",
                f'betas "{self.spacing}"',
                "one of " + ", ".join(get_args(Spacing)),
                'take "scaled_linear" for Stable Diffusion',
            )
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise SamplerError(
                "V2V-E6155",
                f"betas from {self.beta_start} to {self.beta_end}",
                "0 < beta_start <= beta_end < 1",
                "Stable Diffusion has 0.00085 and 0.012",
            )

    @property
    def alphas_cumprod(self) -> NDArray[np.float64]:
        """abar_t [1000]: float32 values, bit for bit diffusers', held as float64 for what is made of them."""
        return _alphas_cumprod(self)

    def levels(self, timesteps: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``(sqrt(abar_t), sqrt(1 - abar_t))`` of each timestep: the shares of picture and noise."""
        left = self.alphas_cumprod[timesteps]
        return np.sqrt(left), np.sqrt(1 - left)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """The schedule of a diffusers ``scheduler_config.json``.

        Raises:
            SamplerError: V2V-E6155: a schedule that is not one of the two, says no betas, has another number
                of timesteps, or is rescaled to end without any picture (at which noise prediction says
                nothing).
        """
        steps = config.get("num_train_timesteps", TRAINING_STEPS)
        if steps != TRAINING_STEPS or config.get("trained_betas") is not None:
            raise SamplerError(
                "V2V-E6155",
                f"a scheduler with {steps} training timesteps or with betas of its own",
                f"{TRAINING_STEPS} timesteps and betas of a named schedule",
                "take a checkpoint of one of the listed architectures",
            )
        if config.get("rescale_betas_zero_snr"):
            raise SamplerError(
                "V2V-E6155",
                "a scheduler with rescale_betas_zero_snr",
                "a schedule that leaves some of the picture at the last timestep",
                "take a checkpoint that was trained without zero terminal SNR",
            )
        # What diffusers fills in differs from scheduler to scheduler, and is seldom what was trained with.
        wanted = ("beta_schedule", "beta_start", "beta_end")
        if missing := [name for name in wanted if config.get(name) is None]:
            raise SamplerError(
                "V2V-E6155",
                f"a scheduler's configuration without {', '.join(missing)}",
                ", ".join(wanted),
                "add the entries that the checkpoint was trained with; Stable Diffusion has scaled_linear, "
                "0.00085 and 0.012",
            )
        return cls(*(config[name] for name in wanted))


def parse_prediction(name: str) -> Prediction:
    """The prediction type of that name, as diffusers' configs spell it; V2V-E6155 for any other."""
    known: dict[str, Prediction] = {item: item for item in get_args(Prediction)}
    if name in known:
        return known[name]
    raise SamplerError(
        "V2V-E6155",
        f'prediction type "{name}"',
        "one of " + ", ".join(known),
        '"epsilon" for SD1.5, SDXL and SD-Turbo, "v_prediction" for SD2.1 at 768',
    )


@cache
def _alphas_cumprod(schedule: NoiseSchedule) -> NDArray[np.float64]:
    if schedule.spacing == "linear":
        betas = _float32_line(schedule.beta_start, schedule.beta_end)
    else:
        roots = _float32_line(schedule.beta_start**0.5, schedule.beta_end**0.5)
        betas = roots * roots
    kept = (np.float32(1) - betas).astype(np.float64)
    # PyTorch accumulates a float32 product in float64 and rounds each entry.
    product = np.cumprod(kept).astype(np.float32).astype(np.float64)
    product.setflags(write=False)
    return product


def _float32_line(start: float, end: float) -> NDArray[np.float32]:
    """1000 evenly spaced values as ``torch.linspace`` gives them in float32.

    It counts a float32 step up from the start in the first half and down from the end in the second, each
    with one rounding; float64 holds product and sum exactly enough to round once.
    """
    first, last = np.float32(start), np.float32(end)
    step = float((last - first) / np.float32(TRAINING_STEPS - 1))
    index = np.arange(TRAINING_STEPS)
    up = float(first) + step * index
    down = float(last) - step * (TRAINING_STEPS - 1 - index)
    return np.where(index < TRAINING_STEPS // 2, up, down).astype(np.float32)

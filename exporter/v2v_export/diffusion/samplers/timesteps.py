"""Which training timesteps a stream samples at, from step counts, strengths and index lists.

Two conventions of strength exist, and both are in use (diffusers issue 7651). With ``slice``, as diffusers'
image-to-image pipelines, Live2Diff and STD have it, the timesteps of all N steps are made and the last
``int(N * strength)`` of them are taken: fewer steps run than were asked for. With ``squeeze``, as
``LCMScheduler.set_timesteps(N, strength=...)`` has it, all N steps are fitted below the strength. Four steps
at strength 0.75 are 759, 499, 259 by the first and 739, 559, 379, 199 by the second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from v2v_export.diffusion.samplers.errors import SamplerError
from v2v_export.diffusion.samplers.schedule import TRAINING_STEPS

DISTILLED_STEPS = 50
"""LCM and TCD students are distilled on a grid of 50 timesteps: 19, 39, ..., 999."""

Convention = Literal["slice", "squeeze"]


@dataclass(frozen=True)
class Timesteps:
    """Where each step is and where it leads.

    Attributes:
        values: the timestep of each step, strictly falling, in [0, 999].
        targets: the timestep that each step leads to; negative: past the end of the schedule.
    """

    values: tuple[int, ...]
    targets: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.values)

    def array(self) -> NDArray[np.int64]:
        """``values`` as int64 [N]."""
        return np.array(self.values, np.int64)

    def require_rows(self, rows: int) -> Timesteps:
        """Itself, if there are ``rows`` steps; V2V-E6153 if not."""
        if len(self) != rows:
            raise SamplerError(
                "V2V-E6153",
                f"{rows} rows in flight, but {len(self)} steps: {_listed(self.values)}",
                "one row per step",
                f"ask for {len(self)} rows, or change steps, strength or the index list",
            )
        return self


def listed(timesteps: Sequence[int]) -> Timesteps:
    """Explicit timesteps, such as a student's own start; each leads to the next one."""
    values = tuple(timesteps)
    falling = all(later < earlier for earlier, later in pairwise(values))
    if not values or not falling or values[0] >= TRAINING_STEPS or values[-1] < 0:
        raise SamplerError(
            "V2V-E6152",
            f"timesteps {_listed(values) or '(none)'}",
            f"at least one, falling, from {TRAINING_STEPS - 1} to 0",
            "correct the list",
        )
    return Timesteps(values, (*values[1:], -1))


def indexed(indices: Sequence[int], steps: int = DISTILLED_STEPS) -> Timesteps:
    """StreamDiffusion's ``t_index_list``: indices into the LCM timesteps of ``steps`` steps.

    With 50 steps index i is timestep 999 - 20 i. Rising, in [0, steps): the first is the noisiest.
    """
    grid = distilled(steps).values
    picked = tuple(indices)
    rising = all(earlier < later for earlier, later in pairwise(picked))
    if not picked or not rising or picked[0] < 0 or picked[-1] >= len(grid):
        raise SamplerError(
            "V2V-E6154",
            f"timestep indices {_listed(picked) or '(none)'} of {steps} steps",
            f"at least one, rising, from 0 to {len(grid) - 1}",
            f"take {_example(len(grid))}, say; a higher index is a cleaner timestep",
        )
    return listed([grid[index] for index in picked])


def distilled(steps: int, strength: float = 1.0, convention: Convention = "slice") -> Timesteps:
    """The timesteps of LCM and TCD students: ``steps`` of the grid of 50, counted evenly from the top.

    Raises:
        SamplerError: out of range (V2V-E6151); no step is left (V2V-E6150).
    """
    _check(steps, strength, DISTILLED_STEPS)
    if convention not in get_args(Convention):
        raise SamplerError(
            "V2V-E6151",
            f'convention "{convention}"',
            "one of " + ", ".join(get_args(Convention)),
            'take "slice", as pipelines do',
        )
    points = int(DISTILLED_STEPS * strength) if convention == "squeeze" else DISTILLED_STEPS
    if points < steps:
        raise SamplerError(
            "V2V-E6150",
            f"{steps} steps squeezed below strength {strength}",
            f"at most int({DISTILLED_STEPS} * {strength}) = {points} steps",
            "take fewer steps or a higher strength",
        )
    picked = np.floor(np.linspace(0, points, steps, endpoint=False)).astype(int)
    ratio = TRAINING_STEPS // DISTILLED_STEPS
    values = [int((points - index) * ratio - 1) for index in picked]
    return listed(values if convention == "squeeze" else values[_first(steps, strength, DISTILLED_STEPS) :])


def leading(steps: int, strength: float = 1.0, offset: int = 1) -> Timesteps:
    """DDIM's timesteps as Stable Diffusion's configs have them: ``k * (1000 // steps) + offset``."""
    _check(steps, strength, TRAINING_STEPS - offset)
    ratio = TRAINING_STEPS // steps
    values = [index * ratio + offset for index in reversed(range(steps))]
    return _strided(values[_first(steps, strength, TRAINING_STEPS - offset) :], ratio)


def trailing(steps: int, strength: float = 1.0) -> Timesteps:
    """Evenly from the very top, 999 first: what SD-Turbo and other one-step students start from."""
    _check(steps, strength, TRAINING_STEPS)
    down = np.arange(TRAINING_STEPS, 0, -TRAINING_STEPS / steps)
    values = [int(value) for value in np.round(down).astype(np.int64) - 1]
    return _strided(values[_first(steps, strength, TRAINING_STEPS) :], TRAINING_STEPS // steps)


def _strided(values: list[int], ratio: int) -> Timesteps:
    """diffusers' DDIM leads each step ``1000 // steps`` down, also where rounding moved the next one."""
    return Timesteps(listed(values).values, tuple(value - ratio for value in values))


def _check(steps: int, strength: float, most: int) -> None:
    if not 1 <= steps <= most:
        raise SamplerError(
            "V2V-E6151", f"{steps} steps", f"1 to {most}", "take 4; students need 1 to 8, others about 20"
        )
    if not 0 < strength <= 1:
        raise SamplerError(
            "V2V-E6151",
            f"strength {strength}",
            "above 0, at most 1",
            "take 1, which leaves out no step; lower values keep more of the frame",
        )


def _first(steps: int, strength: float, most: int) -> int:
    """How many of the steps are left out, by diffusers' arithmetic: ``int`` of a float product."""
    kept = min(int(steps * strength), steps)
    if kept < 1:
        enough = next((count for count in range(steps, most + 1) if int(count * strength) >= 1), None)
        more = f", or take at least {enough} steps" if enough else ""
        raise SamplerError(
            "V2V-E6150",
            f"no step is left: int({steps} steps * strength {strength}) is 0",
            "at least one step",
            f"raise strength to {least_strength(steps, 1):.4g} or more{more}",
        )
    return steps - kept


def least_strength(steps: int, kept: int) -> float:
    """The least strength, in ten-thousandths, of which ``int(steps * strength)`` is ``kept`` or more.

    Rounded up, since a third cut to 0.3333 would leave no step of three; and tried, since 0.58 * 50 is
    28.999999999999996.

    Args:
        kept: at most ``steps``.
    """
    parts = math.ceil(10_000 * kept / steps)
    while int(steps * (parts / 10_000)) < kept:
        parts += 1
    return parts / 10_000


def _example(steps: int) -> list[int]:
    """Two indices in the cleaner half, as streams take them: [30, 40] of 50."""
    return sorted({steps * 3 // 5, steps * 4 // 5})


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))

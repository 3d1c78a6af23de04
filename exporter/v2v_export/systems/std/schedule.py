"""The timesteps of a student: the strength that its LoRA was trained for, and how many steps it may take.

The published pipeline is given N scheduler steps and a strength, takes N of the 50 timesteps that students
are distilled on, and runs the last ``int(N * strength)`` of them. A recipe names what is run; N follows.
"""

from __future__ import annotations

from collections.abc import Sequence

from v2v_export.diffusion.samplers import Table, Timesteps, distilled, listed, tcd
from v2v_export.diffusion.samplers.timesteps import DISTILLED_STEPS, least_strength
from v2v_export.systems.std.errors import StudentOptionError
from v2v_export.systems.std.options import StdOptions

TRAINED = (0.65, 0.75, 0.85, 0.95)
"""Strengths that students' LoRAs are trained for."""

STEPS = (8, 6, 4)
"""Steps that students are run with."""

STRENGTH, RUN = 0.75, 8
"""Strength and steps where a recipe says nothing."""

GAMMA = 0.0
"""TCD's share of fresh noise. STD runs without any: a stream of one start noise is then deterministic."""


def student_table(options: StdOptions) -> Table:
    """``x <- A x + B o`` for each step of these options, the noisiest first (C is zero).

    Raises:
        StudentOptionError: V2V-E6230.
        SamplerError: V2V-E6152, explicit timesteps that do not fall.
    """
    return tcd(student_timesteps(options), GAMMA)


def student_timesteps(options: StdOptions) -> Timesteps:
    """The explicit timesteps of the options, or those of their strength and steps."""
    if options.timesteps:
        return listed(options.timesteps)
    strength, steps = strength_and_steps(options)
    return distilled(scheduler_steps(strength, steps), strength)


def strength_and_steps(options: StdOptions) -> tuple[float, int]:
    """Those of the options, or the defaults."""
    return (
        STRENGTH if options.strength is None else options.strength,
        RUN if options.steps is None else options.steps,
    )


def scheduler_steps(strength: float, steps: int) -> int:
    """N: the least number of scheduler steps of which ``int(N * strength)`` is ``steps``.

    0.75 and 8 steps make 11, 0.95 and 4 make 5.

    Raises:
        StudentOptionError: V2V-E6230, no N up to 50 has that many.
    """
    if not 0 < strength <= 1:
        usual = [value for value in TRAINED if int(DISTILLED_STEPS * value) >= steps] or TRAINED
        raise StudentOptionError(
            "V2V-E6230",
            f"strength {strength}",
            "above 0, at most 1; a strength of 0 leaves no step to run",
            f"take the strength that the LoRA was trained for: {_either(usual)}",
        )
    most = int(DISTILLED_STEPS * strength)
    for count in range(max(steps, 1), DISTILLED_STEPS + 1):
        # diffusers' arithmetic: int() of a float product, which may lie just below a whole number.
        if int(count * strength) == steps > 0:
            return count
    raise StudentOptionError(
        "V2V-E6230",
        f"{steps} steps at strength {strength}",
        f"at least one step, and at most int({DISTILLED_STEPS} * {strength}) = {most} steps: there are "
        f"{DISTILLED_STEPS} timesteps",
        _advice(strength, steps, most),
    )


def _advice(strength: float, steps: int, most: int) -> str:
    """What works: fewer steps at this strength, or as many at a higher one."""
    if steps < 1:
        usual = [count for count in STEPS if count <= most] or ([most] if most else [])
        if usual:
            return f"take {_either(usual)} steps" + (", as students are run" if usual[-1] in STEPS else "")
        return f"no step is left at this strength: take {_either(STEPS)} steps at strength 0.75"
    ways = [f"take {most} steps" + (" or fewer" if most > 1 else "")] if most else []
    if steps <= DISTILLED_STEPS:
        higher = least_strength(DISTILLED_STEPS, steps)
        raised = f"raise strength to {higher:.4g} or more"
        ways.append(raised if most else f"no step is left at this strength: {raised}")
    return ", or ".join(ways) or f"take {_either(STEPS)} steps at strength 0.75"


def _either(values: Sequence[float]) -> str:
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}" if first else last

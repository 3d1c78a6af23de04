"""The timesteps of a student: the strength that its LoRA was trained for, and how many steps it may take.

The published pipeline is given N scheduler steps and a strength, takes N of the 50 timesteps that students
are distilled on, and runs the last ``int(N * strength)`` of them. A recipe names what is run; N follows.
"""

from __future__ import annotations

from v2v_export.diffusion.samplers import Table, Timesteps, distilled, listed, tcd
from v2v_export.diffusion.samplers.timesteps import DISTILLED_STEPS
from v2v_export.systems.std.errors import StudentOptionError
from v2v_export.systems.std.options import StdOptions

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
    return distilled(scheduler_steps(options.strength, options.steps), options.strength)


def scheduler_steps(strength: float, steps: int) -> int:
    """N: the least number of scheduler steps of which ``int(N * strength)`` is ``steps``.

    0.75 and 8 steps make 11, 0.95 and 4 make 5.

    Raises:
        StudentOptionError: V2V-E6230, no N up to 50 has that many.
    """
    if not 0 < strength <= 1:
        raise StudentOptionError(
            "V2V-E6230",
            f"strength {strength}",
            "above 0, at most 1; a strength of 0 leaves no step to run",
            "take the strength that the LoRA was trained for: 0.65, 0.75, 0.85 or 0.95",
        )
    if steps < 1:
        raise StudentOptionError(
            "V2V-E6230", f"steps = {steps}", "at least one step", "take 8, 6 or 4, as students are run"
        )
    for count in range(steps, DISTILLED_STEPS + 1):
        # diffusers' arithmetic: int() of a float product, which may lie just below a whole number.
        if int(count * strength) == steps:
            return count
    most = int(DISTILLED_STEPS * strength)
    raise StudentOptionError(
        "V2V-E6230",
        f"{steps} steps at strength {strength}",
        f"at most int({DISTILLED_STEPS} * {strength}) = {most} steps: there are {DISTILLED_STEPS} timesteps",
        f"take {most} steps or fewer, or a higher strength"
        if most
        else f"no step is left at this strength: raise it to {1 / DISTILLED_STEPS} or more",
    )

"""What a recipe's options must be for a student to make sense; said before any weights are looked at."""

from __future__ import annotations

from v2v_export.diffusion.geometry import check_steps
from v2v_export.systems.std.errors import StudentOptionError
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.schedule import strength_and_steps, student_table


def check_options(options: StdOptions) -> None:
    """Raises for options that contradict each other or are out of range.

    Raises:
        StudentOptionError: V2V-E6230.
        GeometryError: V2V-E6122, too many steps.
        SamplerError: V2V-E6152, explicit timesteps that do not fall.
    """
    _check_timesteps(options)
    _, steps = strength_and_steps(options)
    # First: what the table advises knows how many timesteps there are, and not how many a frame may take.
    check_steps(
        len(options.timesteps) or steps,
        "timesteps" if options.timesteps else f"steps = {steps}",
        "take 8, 6 or 4, as students are run",
    )
    student_table(options)
    if not 0 <= options.seed < 1 << 63:
        raise StudentOptionError(
            "V2V-E6230", f"seed = {options.seed}", "0 to 2^63 - 1", "correct the recipe's options"
        )


def _check_timesteps(options: StdOptions) -> None:
    """Refuses timesteps beside what they take the place of: nobody could tell which of them is meant."""
    beside = {"strength": options.strength, "steps": options.steps}
    given = {name: value for name, value in beside.items() if value is not None}
    if options.timesteps and given:
        raise StudentOptionError(
            "V2V-E6230",
            f"timesteps = {list(options.timesteps)} beside "
            + " and ".join(f"{name} = {value}" for name, value in given.items()),
            "timesteps in place of strength and steps",
            f"remove {' and '.join(given)}, or timesteps",
        )

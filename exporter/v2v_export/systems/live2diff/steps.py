"""The denoising steps of a stream: from the recipe's options to timesteps, one for each row in flight.

What a refusal advises makes a stream when it is followed.
"""

from __future__ import annotations

from v2v_export.diffusion.geometry import MOST_STEPS, check_steps
from v2v_export.diffusion.samplers import SamplerError, Timesteps, distilled, indexed
from v2v_export.diffusion.samplers.timesteps import DISTILLED_STEPS
from v2v_export.systems.live2diff.errors import GeometryError

DEFAULT_INDICES = (30, 40)
"""The published choice among 50 steps: timesteps 399 and 199."""

_AS_MANY = "as many rows in flight as steps, at least one: each row is one step, and one more set of caches"


def row_timesteps(
    rows: int, steps: int, indices: tuple[int, ...] | None, strength: float | None
) -> Timesteps:
    """The timestep of each row, row 0 the noisiest.

    Args:
        rows, steps, indices, strength: the options ``rows``, ``steps``, ``t_index_list`` and ``strength``.

    Raises:
        GeometryError: V2V-E6271: another number of steps than rows; V2V-E6275: both ways of choosing at once,
            or values out of range.
        diffusion.GeometryError: V2V-E6122: more rows than a distilled model needs.
        SamplerError: V2V-E6150: no step is left; V2V-E6154: indices that there are not.
    """
    check_steps(rows, "rows", _usual(rows) if strength is not None and indices is None else "set rows = 2")
    if strength is None:
        return _by_list(rows, steps, indices)
    if indices is not None:
        raise GeometryError(
            "V2V-E6275",
            f"t_index_list = {list(indices)} and strength = {strength}",
            "one of them",
            "remove strength, or the list",
        )
    return _by_strength(rows, steps, strength)


def _by_list(rows: int, steps: int, indices: tuple[int, ...] | None) -> Timesteps:
    if not 1 <= steps <= DISTILLED_STEPS:
        raise GeometryError(
            "V2V-E6275",
            f"steps = {steps}",
            f"1 to {DISTILLED_STEPS}, which t_index_list or strength choose from",
            f"remove it: t_index_list then chooses from {DISTILLED_STEPS}"
            + ("" if indices is not None or rows == len(DEFAULT_INDICES) else "; and set rows = 2"),
        )
    if indices is None and DEFAULT_INDICES[-1] >= steps:
        fits = 1 <= rows <= steps
        shown = list(range(steps - rows, steps)) if fits else [steps - 1]
        raise GeometryError(
            "V2V-E6275",
            f"steps = {steps} with neither t_index_list nor strength",
            f"which of them to take: the default list {list(DEFAULT_INDICES)} is of {DISTILLED_STEPS} steps",
            f"set t_index_list = {shown}" + ("" if fits else " and rows = 1") + ", say",
        )
    given = DEFAULT_INDICES if indices is None else indices
    chosen = indexed(given, steps)
    if len(chosen) == rows:
        return chosen
    named = "the default t_index_list" if indices is None else "t_index_list"
    raise GeometryError(
        "V2V-E6271",
        f"rows = {rows}, but {named} {list(given)} has {len(chosen)}",
        _AS_MANY,
        _agreeing(rows, steps, len(chosen)),
    )


def _agreeing(rows: int, steps: int, entries: int) -> str:
    """As many rows as entries, or as many entries as rows: what of it is a stream."""
    ways = [f"set rows = {entries}"] if entries <= MOST_STEPS else []
    ways += [f"give t_index_list {rows} entries"] if 1 <= rows <= steps else []
    return ", or ".join(ways) or "set rows = 2 and give t_index_list 2 entries"


def _by_strength(rows: int, steps: int, strength: float) -> Timesteps:
    if not (1 <= steps <= DISTILLED_STEPS and 0 < strength <= 1):
        raise GeometryError(
            "V2V-E6275",
            f"steps = {steps} and strength = {strength}",
            f"steps from 1 to {DISTILLED_STEPS}, strength above 0 and at most 1",
            _usual(rows),
        )
    kept = int(steps * strength)
    if kept == rows and kept > 0:
        return distilled(steps, strength)
    counted = f"int({steps} steps * strength {strength})"
    advice = _advice(rows, kept, strength)
    if kept == 0:
        raise SamplerError("V2V-E6150", f"no step is left: {counted} is 0", "at least one step", advice)
    raise GeometryError("V2V-E6271", f"rows = {rows}, but {counted} = {kept}", _AS_MANY, advice)


def _advice(rows: int, kept: int, strength: float) -> str:
    """What makes the numbers agree, the strength as it is: it says how much of a frame is given up."""
    counts = range(1, DISTILLED_STEPS + 1)
    fitting = [count for count in counts if rows > 0 and int(count * strength) == rows]
    ways = [f"set steps = {fitting[0]} for {rows} rows"] if fitting else []
    ways += [f"set rows = {kept}"] if 0 < kept <= MOST_STEPS else []
    return ", or ".join(ways) or _usual(rows)


def _usual(rows: int) -> str:
    """Twice as many steps as rows, the later half of them run."""
    fits = 1 <= rows <= min(MOST_STEPS, DISTILLED_STEPS // 2)
    made = rows if fits else len(DEFAULT_INDICES)
    return f"set steps = {2 * made} and strength = 0.5" + ("" if fits else f", and rows = {made}")

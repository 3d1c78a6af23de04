"""When calls run: every name exists exactly once wherever it is needed, over the whole period of a phase.

The steps of one period are the bits of an integer, so each question is one operation on integers.
"""

from __future__ import annotations

import math

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.model import Call, Every, Phase, Program, View
from v2v_runtime.manifest.validate.scope import PhaseScope, bound_name, reads, writes

MAX_PERIOD = 4096


def check_phase_order(program: Program) -> None:
    """V2V-E2040, E2066: names of phases, and ``forever`` in the last one alone."""
    seen: set[str] = set()
    for index, phase in enumerate(program.phases):
        path = f"program.phases[{index}]"
        if phase.name in seen:
            raise ManifestError(
                Code.NAME_TAKEN, f"{path}.name", f"two phases {phase.name!r}", "one name each"
            )
        seen.add(phase.name)
        last = index == len(program.phases) - 1
        if (phase.steps == "forever") != last:
            raise ManifestError(
                Code.PHASE_ORDER,
                f"{path}.steps",
                f"{phase.steps!r} in phase {index + 1} of {len(program.phases)}",
                "'forever' in the last phase, a number of steps in each before it",
            )


def step_masks(phase: Phase, path: str) -> tuple[int, tuple[int, ...]]:
    """``steps`` and ``masks`` of the phase's scope. A call that runs when params change can run in any step.

    Raises:
        ManifestError: V2V-E2060 to E2062.
    """
    period = 1
    span = math.inf if phase.steps == "forever" else phase.steps
    for position, call in enumerate(phase.calls):
        if isinstance(call.when, Every):
            _check_every(call.when, f"{path}.calls[{position}].when")
            period = math.lcm(period, call.when.every)
            if min(period, span) > MAX_PERIOD:
                raise ManifestError(
                    Code.PERIOD,
                    f"{path}.calls[{position}].when.every",
                    f"with this call the phase repeats after {period} steps",
                    f"at most {MAX_PERIOD}",
                )
            # Beyond the phase's own end the period does not matter, so it need not grow without bound.
            period = int(min(period, span)) if period > span else period
    steps = int(min(period, span))
    masks = tuple(_mask(call, steps) for call in phase.calls)
    for position, mask in enumerate(masks):
        if not mask:
            raise ManifestError(
                Code.NEVER_RUNS,
                f"{path}.calls[{position}].when",
                f"the phase has {phase.steps} steps, and none of them runs {phase.calls[position].name!r}",
                "a call that runs in some step",
            )
    return steps, masks


def _check_every(when: Every, path: str) -> None:
    rising = all(a < b for a, b in zip(when.at, when.at[1:], strict=False))
    if not rising or when.at[-1] >= when.every:
        raise ManifestError(
            Code.SCHEDULE, f"{path}.at", str(list(when.at)), f"rising numbers below {when.every}"
        )


def _mask(call: Call, steps: int) -> int:
    if not isinstance(call.when, Every):
        return (1 << steps) - 1
    mask = 0
    for first in call.when.at:
        for step in range(first, steps, call.when.every):
            mask |= 1 << step
    return mask


def check_schedule(scope: PhaseScope) -> None:
    """Raises ManifestError: V2V-E2063 to E2065, E2067, E2068."""
    _check_late_order(scope)
    _check_made_once(scope)
    for position, call in enumerate(scope.phase.calls):
        for key, name in reads(call):
            if scope.names[name].kind == "temporary":
                where = f"{scope.call_path(position)}.{key}"
                check_made(scope, name, scope.masks[position], position, call.late, where)
    _check_slots(scope)


def _check_late_order(scope: PhaseScope) -> None:
    late = ""
    for position, call in enumerate(scope.phase.calls):
        if late and not call.late:
            raise ManifestError(
                Code.LATE_ORDER,
                scope.call_path(position),
                f"{call.name!r} is not late and stands after {late!r}, which is",
                "late calls after all others",
            )
        late = call.name if call.late else late


def _check_made_once(scope: PhaseScope) -> None:
    masks = scope.masks
    for name, positions in sorted(scope.makers.items()):
        made = 0
        for position in positions:
            if made & masks[position]:
                raise ManifestError(
                    Code.MADE_TWICE,
                    scope.call_path(position),
                    f"{scope.phase.calls[position].name!r} makes {name!r} in step "
                    f"{_first(made & masks[position])}, where a call before it does",
                    "one maker per step: schedules that share no step, or another name",
                )
            made |= masks[position]


def check_made(scope: PhaseScope, name: str, needed: int, before: int, late: bool, path: str) -> None:
    """That calls before position ``before`` make the temporary ``name`` in every step of ``needed``.

    Raises:
        ManifestError: V2V-E2063, E2068.
    """
    missing = needed
    by_late = 0
    for position in scope.makers[name]:
        if scope.phase.calls[position].late and not late:
            by_late |= scope.masks[position]
        elif position < before:
            missing &= ~scope.masks[position]
    if missing & by_late:
        raise ManifestError(
            Code.LATE_READ,
            path,
            f"{name!r} is made by a late call, after what reads it here",
            "what is not late, or a slot that the late call writes for the next step",
        )
    if missing:
        raise ManifestError(
            Code.NOT_MADE,
            path,
            f"in step {_first(missing)} of the period no earlier call makes {name!r}",
            "exactly one earlier call in every step that needs it",
            "add a call for the missing steps, or narrow the schedule of the reader",
        )


def _first(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _check_slots(scope: PhaseScope) -> None:
    """V2V-E2065: a slot is written once per step, or in views that share no entry."""
    masks = scope.masks
    written: dict[str, dict[tuple[int, int], int]] = {}
    for position, call in enumerate(scope.phase.calls):
        for port, binding in writes(call):
            name = bound_name(binding)
            if scope.kind(name) != "slot":
                continue
            end = scope.program.slots[name].shape[0]
            mine = (binding.start, binding.start + binding.length) if isinstance(binding, View) else (0, end)
            ranges = written.setdefault(name, {})
            for other, mask in ranges.items():
                if mask & masks[position] and mine[0] < other[1] and other[0] < mine[1]:
                    raise ManifestError(
                        Code.WRITTEN_TWICE,
                        f"{scope.call_path(position)}.outputs.{port}",
                        f"slot {name!r} is written twice in step {_first(mask & masks[position])}",
                        "one write per step, or views that share no entry",
                    )
            ranges[mine] = ranges.get(mine, 0) | masks[position]

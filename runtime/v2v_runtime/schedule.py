"""In which steps of a phase a call runs, and when the work of a program repeats."""

from __future__ import annotations

import math

from v2v_runtime.manifest.model import Call, Changed, Every, Phase, Program


def due(call: Call, step: int) -> bool:
    """Whether a call runs in a step of a phase that was entered at step 0 and whose params nobody sets."""
    if isinstance(call.when, Every):
        return step % call.when.every in call.when.at
    return step == 0 if isinstance(call.when, Changed) else True


def runs_per_step(call: Call) -> float:
    """In how many of the steps of a long stream a call runs, params left alone: 0 to 1."""
    if isinstance(call.when, Every):
        return len(call.when.at) / call.when.every
    return 0.0 if isinstance(call.when, Changed) else 1.0


def period(phase: Phase) -> int:
    """Steps after which the calls of a phase repeat."""
    return math.lcm(*(call.when.every for call in phase.calls if isinstance(call.when, Every)))


def whole_period(program: Program) -> int:
    """Frames after which the work of the last phase repeats."""
    last = program.phases[-1]
    return period(last) * last.gather

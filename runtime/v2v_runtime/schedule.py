"""When the work of a program repeats."""

from __future__ import annotations

import math

from v2v_runtime.manifest.model import Every, Phase, Program


def period(phase: Phase) -> int:
    """Steps after which the calls of a phase repeat."""
    return math.lcm(*(call.when.every for call in phase.calls if isinstance(call.when, Every)))


def whole_period(program: Program) -> int:
    """Frames after which the work of the last phase repeats."""
    last = program.phases[-1]
    return period(last) * last.gather

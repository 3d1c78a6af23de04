"""How many frames make a stream show everything that it does."""

from __future__ import annotations

from v2v_runtime.manifest.model import Every, Phase, Program
from v2v_runtime.schedule import due, period

MOST_FRAMES = 96
"""Teacher-forced frames at build time, at most: a schedule longer than this is left to ``verify --full``."""


def frames_to_cross(program: Program) -> int:
    """Frames until each phase ran, each schedule came round twice and every ring has wrapped.

    Every finite phase runs to its end; the last one for two of its periods and one step, or until the longest
    ring has been filled, wrapped and read after that.
    """
    rings = [slot.ring.length for slot in program.slots.values() if slot.ring is not None]
    wrap = max(rings, default=0) + 2
    frames = 0
    for phase in program.phases:
        steps = max(2 * period(phase) + 1, wrap) if phase.steps == "forever" else phase.steps
        frames += steps * phase.gather
    return frames


def crossed(program: Program, frames: int) -> list[str]:
    """What ``frames`` frames of a stream cross, in words for the report."""
    told: list[str] = []
    for phase in program.phases:
        steps = frames // phase.gather
        if phase.steps != "forever":
            steps = min(steps, phase.steps)
        frames -= steps * phase.gather
        told.append(f"phase {phase.name}: {steps} steps")
        for call in phase.calls:
            if isinstance(call.when, Every):
                runs = sum(due(call, step) for step in range(steps))
                told.append(f"phase {phase.name}: {call.name} ran {runs} times")
        for name, slot in program.slots.items():
            if slot.ring is not None and _writes(phase, name):
                told.append(f"phase {phase.name}: ring {name} of {slot.ring.length}")
    return told


def _writes(phase: Phase, slot: str) -> bool:
    return any(binding == slot for call in phase.calls for binding in call.outputs.values())

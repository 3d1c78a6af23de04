"""How many frames make a stream show everything that it does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from v2v_runtime.manifest.model import Call, Every, Phase, Program
from v2v_runtime.manifest.updates import updated_views
from v2v_runtime.schedule import due, period

from v2v_export.clip import REPEATED

MOST_FRAMES = 96
"""Teacher-forced frames at build time, at most: a schedule longer than this is left to ``verify --full``."""


def frames_to_cross(program: Program) -> int:
    """Frames of ``v2v_export.clip.clip_of`` until each phase has run all of its ``steps_to_cross``, where it
    skips those frames that repeat and no others."""
    frames = 0
    for phase in program.phases:
        steps = steps_to_cross(program, phase)
        if phase.skip is not None:
            # Wherever they begin, so many frames hold as many steps that repeat nothing.
            steps = -(-steps * REPEATED // (REPEATED - 1))
        frames += steps * phase.gather
    return frames


def steps_to_cross(program: Program, phase: Phase) -> int:
    """Steps that show everything of a phase: all of a finite one; of the last one two of its periods and one
    step, as many as fill the longest ring, wrap it and read it after that, and two whose pictures come out.
    """
    if phase.steps != "forever":
        return phase.steps
    longest = max((length for each in program.phases for length in _rings(program, each).values()), default=0)
    dropped = 0 if phase.emit is None else -(-phase.emit.drop_first // phase.gather)
    return max(2 * period(phase) + 1, longest + 2, dropped + 2)


def crossed(program: Program, steps: Mapping[str, int]) -> list[str]:
    """What a stream crossed, in words for the report.

    Args:
        steps: phase -> its steps that ran to their end.
    """
    told: list[str] = []
    for phase in program.phases:
        count = steps.get(phase.name, 0)
        told.append(f"phase {phase.name}: {count} steps")
        for call in phase.calls:
            if isinstance(call.when, Every):
                told.append(f"phase {phase.name}: {call.name} ran {_runs(call, count)} times")
        writes: Counter[str] = Counter()
        for call in phase.calls:
            for name in _entries(program, call):
                writes[name] += _runs(call, count)
        alike = Counter((length, writes[name]) for name, length in _rings(program, phase).items())
        for (length, entries), number in alike.items():
            rings = "a ring" if number == 1 else f"{number} rings"
            told.append(f"phase {phase.name}: {rings} of {length}, {entries} entries written")
    return told


def _runs(call: Call, steps: int) -> int:
    return sum(due(call, step) for step in range(steps))


def _rings(program: Program, phase: Phase) -> dict[str, int]:
    return {name: length for call in phase.calls for name, length in _entries(program, call).items()}


def _entries(program: Program, call: Call) -> dict[str, int]:
    """Slots of which a call writes an entry -> how many entries they have.

    Of a slot that the call updates itself, entries stand on the last axis but one, as in caches that engines
    update.
    """
    found = {}
    for binding in call.outputs.values():
        slot = program.slots.get(binding) if isinstance(binding, str) else None
        if slot is not None and slot.ring is not None:
            found[str(binding)] = slot.ring.length
    for view in updated_views(call, call.in_place):
        shape = program.slots[view.name].shape
        if len(shape) > 1:
            found[view.name] = shape[-2]
    return found

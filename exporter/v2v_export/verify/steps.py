"""Levels 2 and 3: the stream beside the literal reference, step by step.

Teacher-forced, each step starts from the slots that the reference holds, so a wrong step shows at once and
alone. Free-running, the stream keeps its own state, so errors may add up: that is what it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.dtypes import numpy_dtype
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Phase, View
from v2v_runtime.stream import Stream
from v2v_runtime.trace import Event, StepEvent

from v2v_export.system import Reference, ReferenceFrame
from v2v_export.verify.compare import Difference, Tolerance, difference, kind_of
from v2v_export.verify.tapped import Tapped

Array = NDArray[Any]


@dataclass(frozen=True)
class StepCheck:
    """One step.

    Attributes:
        frame: index of the step's first frame in the clip.
        step: index in its phase.
        differences: (graph that made the tensor, difference), in the order of the calls; an empty name stands
            for a slot that no call of this step wrote.
        failed: the error of a step that did not come to its end; empty otherwise.
        frames: that it took.
        skipped: the program's ``skip`` cut it short.
    """

    frame: int
    phase: str
    step: int
    differences: tuple[tuple[str, Difference], ...]
    failed: str = ""
    frames: int = 1
    skipped: bool = False


def check_steps(
    stream: Stream,
    events: list[Event],
    tapped: Tapped | None,
    reference: Reference,
    frames: NDArray[np.uint8],
    tolerance: Tolerance,
    *,
    forced: bool,
) -> Iterator[StepCheck]:
    """Plays the clip on both, whole steps only.

    Args:
        stream: new or reset, made with ``trace=events.append``.
        tapped: how to see float pictures; None: only what a playing engine hands out.
        forced: write the reference's slots into the stream before each step, and compare them after it.
    """
    reference.reset()
    program = stream.session.program
    phases, at, taken = iter(_phase_steps(program.phases)), 0, 0
    for phase, step in phases:
        chunk = frames[taken : taken + phase.gather]
        if len(chunk) < phase.gather:
            return
        if forced:
            _force(stream, reference.slots(), phase if step == 0 else None)
        expected = list(reference.step(chunk))
        at = len(events)
        pictures: list[Array] = []
        try:
            for frame in chunk:
                pictures.extend(output.rgb8 for output in stream.push(frame))
            stream.set_slots({})  # waits for the late calls, whose events and errors come with that
        except StreamError as error:
            yield StepCheck(taken, phase.name, step, (), str(error))
            return
        event = next(e for e in events[at:] if isinstance(e, StepEvent))
        ran = tuple(name for name, _ in event.calls)
        late = tuple(
            c[0] for e in events[at:] if not isinstance(e, StepEvent) and hasattr(e, "calls") for c in e.calls
        )
        found = _outputs(stream, tapped, phase, ran, pictures, expected, tolerance)
        if forced:
            expected_slots = _lasting(program.phases, phase, step, reference.slots())
            found += _slots(phase, (*ran, *late), stream, expected_slots, tolerance)
        yield StepCheck(taken, phase.name, step, tuple(found), frames=phase.gather, skipped=event.skipped)
        taken += phase.gather


def _phase_steps(phases: Sequence[Phase]) -> Iterator[tuple[Phase, int]]:
    for phase in phases:
        step = 0
        while phase.steps == "forever" or step < phase.steps:
            yield phase, step
            step += 1


def _lasting(
    phases: Sequence[Phase], phase: Phase, step: int, slots: Mapping[str, Any]
) -> dict[str, Callable[[], Array]]:
    """What gives the slots that are still there after a step: its phase's last one hands some over to be
    reset."""
    reset: tuple[str, ...] = ()
    if phase.steps != "forever" and step + 1 == phase.steps:
        reset = phases[phases.index(phase) + 1].resets
    return {name: partial(slots.__getitem__, name) for name in slots if name not in reset}


def _force(stream: Stream, slots: Mapping[str, Any], entered: Phase | None) -> None:
    """Writes the reference's state, one slot at a time; what a phase resets at its first step is left to the
    phase."""
    session = stream.session
    for name in slots:
        if entered is None or name not in entered.resets:
            dtype = numpy_dtype(session.program.slots[name].dtype, session.float_type)
            stream.set_slots({name: np.ascontiguousarray(slots[name], dtype)})


def _outputs(
    stream: Stream,
    tapped: Tapped | None,
    phase: Phase,
    ran: Sequence[str],
    pictures: list[Array],
    expected: Sequence[ReferenceFrame],
    tolerance: Tolerance,
) -> list[tuple[str, Difference]]:
    graph, port = _emitter(phase, ran)
    if len(pictures) != len(expected):
        seen, wanted = np.zeros(len(pictures), np.int64), np.zeros(len(expected), np.int64)
        return [(graph, difference(f"{port} (emitted frames)", seen, wanted, "exact", tolerance))]
    if not expected:
        return []
    found = []
    name = tapped.picture(phase, ran) if tapped is not None else None
    if name is not None:
        floats = np.stack([frame.float for frame in expected])
        seen = stream.peek(name)
        # Frames that the phase still drops are in the tap and not in the reference's answer.
        found.append((graph, difference(f"{port}_float", seen[-len(floats) :], floats, "picture", tolerance)))
    levels = np.stack([frame.rgb8 for frame in expected])
    found.append((graph, difference(port, np.stack(pictures), levels, "levels", tolerance)))
    return found


def _emitter(phase: Phase, ran: Sequence[str]) -> tuple[str, str]:
    """The graph and port that made the emitted tensor of a step."""
    for call in phase.calls:
        for port, binding in call.outputs.items():
            if phase.emit is not None and call.name in ran and binding == phase.emit.tensor:
                return call.graph, port
    return "", "output"


def _slots(
    phase: Phase,
    ran: Sequence[str],
    stream: Stream,
    expected: Mapping[str, Callable[[], Array]],
    tolerance: Tolerance,
) -> list[tuple[str, Difference]]:
    """Every slot after the step, those that a call wrote in the order of the calls."""
    writers: dict[str, str] = {}
    for call in phase.calls:
        if call.name in ran:
            for binding in call.outputs.values():
                name = binding.name if isinstance(binding, View) else binding
                if name is not None and name in expected:
                    writers.setdefault(name, call.graph)
    found = []
    for name in (*writers, *(name for name in expected if name not in writers)):
        seen = stream.peek(name)
        made = difference(name, seen, np.asarray(expected[name]()), kind_of(seen), tolerance)
        found.append((writers.get(name, ""), made))
    return found

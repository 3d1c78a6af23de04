"""The step trace: what the machine did, as data that every runtime gives alike.

A trace is a sequence of events. As JSON (``as_dict``), one object per event, keys in this order:

``{"event": "phase", "phase", "frame_index", "cause"}``
    A phase was entered. ``cause``: ``start`` (a new stream), ``next`` (the phase before it has run all its
    steps), ``enter``, ``reset`` or ``restore``.
``{"event": "step", "phase", "step", "frame_index", "calls", "left_out", "skipped", "emitted", "dropped",
"failed"}``
    A step ended. ``step`` and ``frame_index`` are what its graphs could read. ``calls``: the calls that ran,
    in order, each ``[name, bucket]`` with the row bucket or null. ``left_out``: calls left out by
    ``at_zero: skip``. ``skipped``: the program's ``skip`` cut it short. ``emitted`` frames are handed over,
    ``dropped`` ones are not. ``failed``: null, or the error's code; then nothing was committed, and ``calls``
    ends with the call that failed if one did.
``{"event": "late", "phase", "step", "calls", "left_out", "failed"}``
    The late calls of that step ended, and what they wrote was committed unless ``failed`` holds a code.

Order: a step's ``late`` event comes after its ``step`` event and before any other event; a ``phase`` event
with cause ``next`` comes after the ``step`` and ``late`` events of the phase's last step, when the next call
on the stream begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

from v2v_runtime.runner import Progress

Ran = tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True)
class PhaseEvent:
    """A phase was entered."""

    phase: str
    frame_index: int
    cause: Literal["start", "next", "enter", "reset", "restore"]

    def as_dict(self) -> dict[str, Any]:
        return {
            "event": "phase",
            "phase": self.phase,
            "frame_index": self.frame_index,
            "cause": self.cause,
        }


@dataclass(frozen=True, slots=True)
class StepEvent:
    """A step ended."""

    phase: str
    step: int
    frame_index: int
    calls: Ran
    left_out: tuple[str, ...] = ()
    skipped: bool = False
    emitted: int = 0
    dropped: int = 0
    failed: str | None = None

    @classmethod
    def of(
        cls,
        at: tuple[int, int],
        progress: Progress,
        emitted: int = 0,
        dropped: int = 0,
        failed: str | None = None,
    ) -> Self:
        """The event of a step at ``step, frame_index``."""
        ran, left_out = tuple(progress.ran), tuple(progress.left_out)
        return cls(progress.phase, *at, ran, left_out, progress.skipped, emitted, dropped, failed)

    def as_dict(self) -> dict[str, Any]:
        return {
            "event": "step",
            "phase": self.phase,
            "step": self.step,
            "frame_index": self.frame_index,
            "calls": [list(call) for call in self.calls],
            "left_out": list(self.left_out),
            "skipped": self.skipped,
            "emitted": self.emitted,
            "dropped": self.dropped,
            "failed": self.failed,
        }


@dataclass(frozen=True, slots=True)
class LateEvent:
    """The late calls of a step ended."""

    phase: str
    step: int
    calls: Ran
    left_out: tuple[str, ...] = ()
    failed: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "event": "late",
            "phase": self.phase,
            "step": self.step,
            "calls": [list(call) for call in self.calls],
            "left_out": list(self.left_out),
            "failed": self.failed,
        }


Event = PhaseEvent | StepEvent | LateEvent

#: Called with each event, on the stream's own thread. A list's ``append`` does.
Trace = Callable[[Event], None]

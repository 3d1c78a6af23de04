"""What stands between ``push`` and a step: staged frames, their timestamps, the last frame for a flush."""

from __future__ import annotations

from typing import Any

import numpy as np

from v2v_runtime.backends.base import Array, Tensor
from v2v_runtime.errors import StreamError
from v2v_runtime.fifo import TimestampFifo
from v2v_runtime.machine import Machine, Output
from v2v_runtime.state import InputState


class Feed:
    """Stages frames for the machine's next step and runs it when the gather is complete.

    Attributes:
        waiting: timestamps of the frames accepted whose output is still to come.
        accepted: frames accepted since the last reset; those of failed steps do not count.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.waiting = TimestampFifo()
        self.accepted = 0
        self._stamped = 0
        self._last_done: Tensor | None = None

    @property
    def last(self) -> Tensor | None:
        """The last frame accepted, uint8 [1, H, W, 3]."""
        inputs = self._inputs
        if inputs.staged:
            return inputs.frames[inputs.index][inputs.staged - 1]
        return self._last_done

    def take(self, pixels: Array, timestamp: Any) -> Output | None:
        """Stages a frame uint8 [H, W, 3]; runs the step if that completes it, else None."""
        self._machine.ready()
        inputs = self._inputs
        inputs.frames[inputs.index][inputs.staged].write(pixels[None])
        inputs.staged += 1
        counters = self._machine.counters
        counters.frames_in += 1
        counters.uploads += 1
        counters.uploaded_bytes += pixels.size
        self.waiting.push(self.accepted if timestamp is None else timestamp)
        self.accepted += 1
        self._stamped += 1
        return self._step_if_complete(flushing=False)

    def repeat(self) -> Output | None:
        """Stages the last frame again, without a timestamp; runs the step if that completes it."""
        self._machine.ready()
        inputs = self._inputs
        last = self.last
        assert last is not None
        self._machine.copy(inputs.frames[inputs.index][inputs.staged], last)
        inputs.staged += 1
        self._machine.counters.frames_in += 1
        return self._step_if_complete(flushing=True)

    def flush_limit(self) -> int:
        """Repeats after which a program that keeps its promise has handed over every waiting frame."""
        machine = self._machine
        phases = machine.phases[machine.phases.index(machine.phase) :]
        limit = 0
        for phase in phases:
            left = len(self.waiting) + 1 + (phase.emit.drop_first if phase.emit is not None else 0)
            limit += phase.gather * (left if phase.steps == "forever" else min(left, phase.steps))
        return limit

    def enter(self, name: str) -> None:
        """Enters a phase; the frames staged are the first of its first step. See ``Stream.enter``.

        Raises:
            StreamError: V2V-E3030, E3031.
        """
        phases = {phase.name: phase for phase in self._machine.phases}
        phase = phases.get(name)
        if phase is None:
            raise StreamError("V2V-E3030", f"no phase {name!r}", f"one of {', '.join(phases)}")
        old, new = self._inputs, self._machine.state.inputs[name]
        staged = old.staged
        if staged >= phase.gather:
            raise StreamError(
                "V2V-E3031",
                f"{staged} frames are staged for a step of phase {self._machine.phase.name!r}",
                f"fewer than the {phase.gather} that a step of phase {name!r} takes",
                "push the rest of that step's frames first, or reset",
            )
        self._machine.enter(phase, "enter")
        if new is not old:
            for index in range(staged):
                self._machine.copy(new.frames[new.index][index], old.frames[old.index][index])
            old.staged, new.staged = 0, staged
        kept = self._machine.owed_at_entry(phase) + self._stamped
        self.waiting.drop_oldest(max(0, len(self.waiting) - kept))

    def reset(self) -> None:
        """Forgets frames and timestamps."""
        for inputs in self._machine.state.inputs.values():
            inputs.staged = 0
        self.waiting.clear()
        self.accepted = 0
        self._stamped = 0
        self._last_done = None

    def read_staged(self) -> Array:
        """The staged frames, uint8 [N, H, W, 3]."""
        inputs = self._inputs
        whole = inputs.buffers[inputs.index]
        if not inputs.staged:
            return np.zeros((0, *whole.shape[1:]), np.uint8)
        return whole.view(0, inputs.staged).read()

    def restore(self, accepted: int, waiting: tuple[Any, ...], staged: Array, last: Array | None) -> None:
        """Puts back what a snapshot held; the machine stands in the snapshot's phase."""
        inputs = self._inputs
        self.waiting.restore(waiting)
        self.accepted = accepted
        inputs.staged = self._stamped = len(staged)
        if len(staged):
            inputs.buffers[inputs.index].view(0, len(staged)).write(staged)
        self._last_done = None
        if last is not None:
            self._last_done = inputs.frames[inputs.index ^ 1][-1]
            self._last_done.write(last)

    @property
    def _inputs(self) -> InputState:
        return self._machine.state.inputs[self._machine.phase.name]

    def _step_if_complete(self, flushing: bool) -> Output | None:
        inputs = self._inputs
        if inputs.staged < len(inputs.frames[0]):
            return None
        stamped, self._stamped, inputs.staged = self._stamped, 0, 0
        try:
            output = self._machine.step(len(self.waiting), flushing)
        except BaseException:
            self.waiting.drop_newest(stamped)
            self.accepted -= stamped
            raise
        # The step has moved the index on: its frames lie intact in the other buffer.
        self._last_done = inputs.frames[inputs.index ^ 1][-1]
        return output

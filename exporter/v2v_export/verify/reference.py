"""The literal stream, played once and written down: one recording judges every target of a build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.manifest.model import Program

from v2v_export.lazy import Lazy
from v2v_export.system import Reference, ReferenceFrame
from v2v_export.verify.arrays import ArrayReader, ArrayWriter, finished

REFERENCE = "reference"
"""The folder's name among what a build records."""


class Recorder:
    """Passes a reference's steps on and writes them down (``v2v_export.system.Reference``).

    Args:
        states: the slots before and after each of the first so many frames' steps are kept too.
        folder: takes the recording when ``finish`` is called.
    """

    def __init__(self, reference: Reference, program: Program, states: int, folder: Path) -> None:
        self._reference, self._states = reference, states
        self._rings = {name for name, slot in program.slots.items() if slot.ring is not None}
        self._writer = ArrayWriter(folder)
        self.reset()

    def reset(self) -> None:
        self._reference.reset()
        self.taken = 0
        self._steps: list[Any] = []
        self._slots: list[Any] = []

    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        forced = self.taken < self._states
        if forced and not self._slots:
            self._slots.append(self._kept())
        emitted = list(self._reference.step(frames))
        self._steps.append(
            {
                "frames": self._writer.add(frames),
                "emitted": [
                    {"float": self._writer.add(frame.float), "rgb8": self._writer.add(frame.rgb8)}
                    for frame in emitted
                ],
            }
        )
        self.taken += len(frames)
        if forced:
            self._slots.append(self._kept())
        return emitted

    def slots(self) -> Mapping[str, NDArray[Any]]:
        return self._reference.slots()

    def finish(self) -> None:
        """Makes the recording whole."""
        self._writer.finish({"taken": self.taken, "steps": self._steps, "slots": self._slots})

    def _kept(self) -> dict[str, Any]:
        return {
            name: self._writer.add(np.asarray(value), rows=name in self._rings)
            for name, value in self._reference.slots().items()
        }


class RecordedReference:
    """Hands out what a reference did (``v2v_export.system.Reference``), from the disk.

    Attributes:
        taken: frames that were played.
        states: steps around which the slots are known.
    """

    def __init__(self, folder: Path) -> None:
        self._reader = ArrayReader(folder)
        self._steps, self._slots = self._reader.index["steps"], self._reader.index["slots"]
        self.taken: int = self._reader.index["taken"]
        self.states = max(0, len(self._slots) - 1)
        self._at = 0

    def reset(self) -> None:
        self._at = 0

    @property
    def forced_frames(self) -> int:
        """Frames of the steps around which the slots are known."""
        return sum(step["frames"]["shape"][0] for step in self._steps[: self.states])

    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        """What the recorded step emitted.

        Raises:
            ValueError: it was recorded with other frames, or not at all.
        """
        step = self._steps[self._at] if self._at < len(self._steps) else None
        if step is None or not np.array_equal(frames, self._reader.read(step["frames"])):
            raise ValueError(f"step {self._at} was not recorded with these frames")
        self._at += 1
        return [
            ReferenceFrame(self._reader.read(frame["float"]), self._reader.read(frame["rgb8"]))
            for frame in step["emitted"]
        ]

    def slots(self) -> Mapping[str, NDArray[Any]]:
        """The slots before the next step, each read when it is asked for.

        Raises:
            IndexError: they were not kept for so late a step.
        """
        return Lazy(
            {name: partial(self._reader.read, entry) for name, entry in self._slots[self._at].items()}
        )


def recorded(folder: Path, frames: int, states: int) -> bool:
    """Whether a recording there has at least so many frames, and the slots around the first ``states``."""
    if not finished(folder):
        return False
    found = RecordedReference(folder)
    return found.taken >= frames and found.forced_frames >= states

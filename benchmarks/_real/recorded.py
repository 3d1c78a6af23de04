"""A literal stream that was played once, to judge many."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from v2v_export.progress import Progress
from v2v_export.system import Reference, ReferenceFrame


class RecordedReference:
    """Hands out what a reference emitted (``v2v_export.system.Reference``); each step takes one frame.

    Args:
        frames: what it was given, uint8 [N, H, W, 3].
        emitted: what each step gave.
        states: its slots before each of the first steps, and after the last of them.
    """

    def __init__(
        self,
        frames: NDArray[np.uint8],
        emitted: Sequence[Sequence[ReferenceFrame]],
        states: Sequence[Mapping[str, NDArray[Any]]],
    ) -> None:
        self._frames, self._emitted, self._states = frames, emitted, states
        self._at = 0

    @classmethod
    def play(
        cls, reference: Reference, frames: NDArray[np.uint8], states: int, progress: Progress, title: str
    ) -> Self:
        """Plays the clip; keeps the slots around the first ``states`` steps."""
        reference.reset()
        emitted: list[Sequence[ReferenceFrame]] = []
        kept: list[Mapping[str, NDArray[Any]]] = [reference.slots()]
        begin = time.perf_counter()
        progress.start(title, len(frames))
        for index, frame in enumerate(frames):
            emitted.append(reference.step(frame[None]))
            if index < states:
                kept.append(reference.slots())
            progress.step("frames", index + 1, len(frames))
        progress.finish("done", time.perf_counter() - begin)
        return cls(frames, emitted, kept)

    def reset(self) -> None:
        self._at = 0

    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        """What the recorded step emitted.

        Raises:
            ValueError: another frame than the recorded one.
        """
        if not np.array_equal(frames, self._frames[self._at : self._at + 1]):
            raise ValueError(f"step {self._at} was recorded with another frame")
        self._at += 1
        return self._emitted[self._at - 1]

    def slots(self) -> Mapping[str, NDArray[Any]]:
        """The slots before the next step.

        Raises:
            IndexError: they were not kept for so late a step.
        """
        return self._states[self._at]

"""How the reference plays the self-test's clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from v2v_export.build.selftest import play
from v2v_export.clip import moving_frames
from v2v_export.errors import BuildError
from v2v_export.system import ReferenceFrame
from v2v_runtime.manifest.model import Emit, FrameSpec, Phase, Program

SIZE = FrameSpec(8, 12)


class Echo:
    """Emits what it gets, but for the first ``drop`` frames; remembers its steps."""

    def __init__(self, drop: int = 0, shape: tuple[int, ...] = (8, 12, 3)) -> None:
        self.drop, self.shape = drop, shape
        self.steps: list[int] = [99]

    def reset(self) -> None:
        self.steps = []

    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        seen = sum(self.steps)
        self.steps.append(len(frames))
        out = [frame for number, frame in enumerate(frames, seen) if number >= self.drop]
        return [ReferenceFrame(np.zeros((3, 8, 12), np.float32), np.resize(f, self.shape)) for f in out]

    def slots(self) -> dict[str, NDArray[np.float32]]:
        return {}


def _program(*phases: Phase) -> Program:
    return Program({"frame": SIZE}, {"frame": SIZE}, phases, max_frames=8)


def _phase(steps: int | Literal["forever"], gather: int) -> Phase:
    return Phase("p", steps, (), gather=gather, emit=Emit("out"))


def test_whole_steps_of_each_phase() -> None:
    """One step of 8 frames, then single ones; and what does not fill a step is left out."""
    echo = Echo(drop=2)
    frames = moving_frames(11, 8, 12)
    told: list[int] = []
    taken, emitted = play(echo, _program(_phase(1, 8), _phase("forever", 2)), frames, told.append)
    assert echo.steps == [8, 2]
    assert told == [8, 10]
    np.testing.assert_array_equal(taken, frames[:10])
    np.testing.assert_array_equal(emitted, frames[2:10])


def test_a_program_that_ends() -> None:
    echo = Echo()
    taken, _ = play(echo, _program(_phase(3, 1)), moving_frames(9, 8, 12))
    assert len(taken) == 3


def test_nothing_comes_out() -> None:
    with pytest.raises(BuildError, match="E7020"):
        play(Echo(drop=50), _program(_phase("forever", 1)), moving_frames(4, 8, 12))


def test_pictures_of_another_size() -> None:
    with pytest.raises(BuildError, match="E7021"):
        play(Echo(shape=(8, 11, 3)), _program(_phase("forever", 1)), moving_frames(4, 8, 12))

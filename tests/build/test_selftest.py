"""The synthetic clip, and how the reference plays it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from v2v_export.build.selftest import moving_frames, play
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


def test_the_clip_is_the_same_in_another_process() -> None:
    code = (
        "import hashlib; from v2v_export.build.selftest import moving_frames;"
        "print(hashlib.sha256(moving_frames(3, 16, 24).tobytes()).hexdigest())"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert made.stdout.strip() == hashlib.sha256(moving_frames(3, 16, 24).tobytes()).hexdigest()


def test_the_clip_moves_and_has_detail() -> None:
    clip = moving_frames(6, 64, 96).astype(int)
    steps = np.abs(np.diff(clip, axis=0)).mean(axis=(1, 2, 3))
    assert (steps > 1).all()
    assert (np.abs(np.diff(clip, axis=2)).max(axis=(1, 2, 3)) > 60).all(), "hard edges"
    assert clip.std() > 20
    assert clip.min() < 60 < 200 < clip.max()


def test_a_longer_clip_begins_with_the_shorter() -> None:
    np.testing.assert_array_equal(moving_frames(5, 8, 12)[:3], moving_frames(3, 8, 12))

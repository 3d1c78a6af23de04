"""Turn taking: order, warm-up, whole periods, and what counts as a side's time."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from v2v_export.bench.interleave import interleave

FRAMES = [np.full((1, 1, 3), value, np.uint8) for value in range(5)]


class Recorder:
    """A side that writes down what happens to it."""

    def __init__(self, name: str, log: list[tuple[str, int]], period: int = 1, after: float = 0) -> None:
        self.name, self.period, self._log, self._after, self._owed = name, period, log, after, False

    def reset(self) -> None:
        self._log.append((f"{self.name} reset", -1))

    def push(self, frame: NDArray[np.uint8]) -> None:
        self._log.append((self.name, int(frame[0, 0, 0])))
        self._owed = True

    def settle(self) -> None:
        if self._owed:
            time.sleep(self._after)
        self._owed = False


def test_sides_take_turns_and_the_order_alternates() -> None:
    log: list[tuple[str, int]] = []
    sides = [Recorder("a", log), Recorder("b", log)]
    tracks = interleave(sides, FRAMES, blocks=2, block_frames=2, warmup_frames=1)
    assert log == [
        ("a reset", -1), ("a", 0), ("b reset", -1), ("b", 0),
        ("a", 1), ("a", 2), ("b", 1), ("b", 2),
        ("b", 3), ("b", 4), ("a", 3), ("a", 4),
    ]  # fmt: skip
    assert {name: len(track.frame_seconds) for name, track in tracks.items()} == {"a": 4, "b": 4}
    assert {name: len(track.block_means) for name, track in tracks.items()} == {"a": 2, "b": 2}


def test_frames_go_round_and_blocks_hold_whole_periods() -> None:
    log: list[tuple[str, int]] = []
    tracks = interleave([Recorder("a", log, period=3)], FRAMES, blocks=2, block_frames=4, warmup_frames=1)
    assert [value for name, value in log if name == "a"] == [(i % 5) for i in range(3 + 6 + 6)]
    assert len(tracks["a"].frame_seconds) == 12


def test_work_after_the_picture_counts_for_the_block_and_not_for_the_frame() -> None:
    track = interleave([Recorder("a", [], after=0.02)], FRAMES, blocks=1, block_frames=2, warmup_frames=1)[
        "a"
    ]
    assert track.total_seconds >= 0.02
    assert sum(track.frame_seconds) <= track.total_seconds - 0.02
    assert track.block_means == [pytest.approx(track.total_seconds / 2)]


def test_two_sides_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        interleave([Recorder("a", []), Recorder("a", [])], FRAMES, blocks=1, block_frames=1, warmup_frames=1)

"""Takes turns between sides, so that whatever slows the machine down slows all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.settling import WarmUp

from v2v_export.bench.statistics import Latency

WARM_SECONDS = 20.0
"""The longest that a side is waited for to settle."""


class Side(Protocol):
    """One way to play the stream.

    Attributes:
        name: what tables call it.
        period: frames after which the work of a frame repeats (a refresh interval, say); blocks are whole
            numbers of it, so that a mean over a block is fair.
    """

    name: str
    period: int

    def reset(self) -> None:
        """Back to before the first frame."""

    def push(self, frame: NDArray[np.uint8]) -> None:
        """Plays one frame [H, W, 3]; returns when its picture is in hand."""

    def settle(self) -> None:
        """Ends work that goes on after a picture was handed over; its time belongs to the block."""


@dataclass
class Track:
    """What one side took: every frame's time, and each block's mean time per frame, in seconds.

    Attributes:
        warm_frames: frames before the first block, which count for nothing.
        settled: whether their times had settled by then, where that was looked for.
    """

    frame_seconds: list[float] = field(default_factory=list)
    block_means: list[float] = field(default_factory=list)
    total_seconds: float = 0.0
    warm_frames: int = 0
    settled: bool = True

    @property
    def turn(self) -> float:
        """The median over its blocks of the time per frame, in seconds: blocks are whole periods, and work
        that goes on after a picture belongs to them."""
        return median(self.block_means)

    @property
    def latency(self) -> Latency:
        return Latency.of(self.frame_seconds, self.total_seconds)


def interleave(
    sides: Sequence[Side],
    frames: Sequence[NDArray[np.uint8]],
    *,
    blocks: int,
    block_frames: int,
    warmup_frames: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Track]:
    """Plays the frames, over and over, on all sides in turns.

    Each block plays every side once; every other block goes through them backwards, so that no side always
    comes after the same one. A side's stream goes on from block to block and is never reset in between.

    Args:
        block_frames: frames per side and block, raised to whole periods of the side.
        warmup_frames: frames of each side before the first block, not measured; raised to whole periods.
            None: until its times have settled (``v2v_runtime.settling``), for
            ``WARM_SECONDS`` at most.
        progress: takes blocks done and blocks in all.
    """
    tracks = {side.name: Track() for side in sides}
    if len(tracks) != len(sides):
        raise ValueError("two sides have one name")
    cursors = dict.fromkeys(tracks, 0)
    for side in sides:
        side.reset()
        track = tracks[side.name]
        _warm(side, frames, track, warmup_frames)
        cursors[side.name] = track.warm_frames
        side.settle()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for block in range(blocks):
            for side in sides if block % 2 == 0 else reversed(sides):
                count = _whole(block_frames, side.period)
                start = cursors[side.name]
                _play(side, [frames[(start + i) % len(frames)] for i in range(count)], tracks[side.name])
                cursors[side.name] += count
            gc.collect()
            progress(block + 1, blocks)
    finally:
        if collecting:
            gc.enable()
    return tracks


def _warm(side: Side, frames: Sequence[NDArray[np.uint8]], track: Track, count: int | None) -> None:
    """Plays what is not measured: ``count`` frames, or until the times have settled."""
    clock, pushed = time.perf_counter_ns, 0

    def play(number: int) -> list[int]:
        nonlocal pushed
        times = []
        for _ in range(number):
            before = clock()
            side.push(frames[pushed % len(frames)])
            times.append(clock() - before)
            pushed += 1
        return times

    if count is not None:
        play(_whole(count, side.period))
    else:
        warm_up, until = WarmUp(side.period), clock() + WARM_SECONDS * 1e9
        while not warm_up.settled and clock() < until:
            warm_up.add(play(warm_up.wanted))
        track.settled = warm_up.settled
    track.warm_frames = pushed


def _play(side: Side, frames: Sequence[NDArray[np.uint8]], track: Track) -> None:
    clock = time.perf_counter
    begin = clock()
    for frame in frames:
        before = clock()
        side.push(frame)
        track.frame_seconds.append(clock() - before)
    side.settle()
    total = clock() - begin
    track.block_means.append(total / len(frames))
    track.total_seconds += total


def _whole(count: int, period: int) -> int:
    """``count`` raised to a multiple of ``period``, at least one period."""
    return max(1, -(-count // period)) * period

"""From the times of single frames to ratios of kinds of frames."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from v2v_export.bench.interleave import Track
from v2v_export.bench.statistics import compare
from v2v_export.systems.shortcut_v2v.reference import frame_kind

from _real.case import Case


@dataclass(frozen=True)
class TimeRatio:
    """How many times as long ``of`` takes as ``over``, with a 95 % interval."""

    of: str
    over: str
    estimate: float
    low: float
    high: float
    blocks: int


def time_ratio(of: str, blocks: Sequence[float], over: str, over_blocks: Sequence[float]) -> TimeRatio:
    """The ratio of two sides that took turns, from the mean time per frame of each turn."""
    # ``compare`` says how fast its first side is against its second one.
    found = compare(over, over_blocks, of, blocks)
    return TimeRatio(of, over, found.estimate, found.low, found.high, found.blocks)


def block_frames(case: Case) -> int:
    """Frames of each side and turn: two intervals."""
    return 2 * case.interval


def warmup_frames(case: Case) -> int:
    """Frames of each side before the first turn; whole intervals, so that no side rounds it up."""
    return 3 * case.interval


def kinds(case: Case, schedule: str) -> dict[str, Callable[[int], bool]]:
    """The kinds of frames of a stream that cost alike, by name -> whether a frame's index is of it."""

    def kind(index: int) -> str:
        return frame_kind(index, case.interval, "teacher" if schedule == "teacher" else "shortcut")

    if schedule == "teacher":
        return {"shortcut": lambda i: kind(i) == "S", "full": lambda i: kind(i) == "F"}
    return {
        # Frames 1, 1 + alpha, ... come after a full or a refreshing frame.
        "shortcut": lambda i: kind(i) == "S" and i % case.interval != 1,
        "shortcut, refresh follows": lambda i: kind(i) == "R",
        "shortcut, waits for the refresh": lambda i: kind(i) == "S" and i % case.interval == 1,
    }


def block_means(case: Case, schedule: str, kind: str, track: Track) -> list[float]:
    """The mean seconds of a stream's frames of one kind, turn by turn."""
    chosen = kinds(case, schedule)[kind]
    size = block_frames(case)
    times = list(_indexed(case, track))
    return [
        statistics.fmean(seconds for index, seconds in times[start : start + size] if chosen(index))
        for start in range(0, len(times), size)
    ]


def kind_medians(case: Case, schedule: str, track: Track) -> dict[str, float]:
    """Kind of frame -> median milliseconds of a push."""
    return {
        kind: statistics.median(seconds for index, seconds in _indexed(case, track) if chosen(index)) * 1e3
        for kind, chosen in kinds(case, schedule).items()
    }


def _indexed(case: Case, track: Track) -> Iterator[tuple[int, float]]:
    """Every measured frame's index from the start of its stream, and its seconds."""
    return enumerate(track.frame_seconds, warmup_frames(case))

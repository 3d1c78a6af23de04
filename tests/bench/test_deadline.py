"""Late frames against what may be late."""

from __future__ import annotations

import math

import pytest
from v2v_export.bench.deadline import LateFrames


def wilson(count: int, of: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's interval as his paper (1927) has it; ``z``: 97.5 % of a normal distribution lie below."""
    share = count / of
    centre = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return centre - half, centre + half


@pytest.mark.parametrize(
    ("late", "frames", "kept"),
    [
        (0, 6, None),
        (6, 6, False),
        (0, 100, True),
        (1, 100, None),
        (9, 100, None),
        (10, 100, False),
        (15, 500, True),
    ],
)
def test_few_frames_leave_a_deadline_open(late: int, frames: int, kept: bool | None) -> None:
    times = [12.0] * late + [10.0] * (frames - late)  # a frame that takes the deadline keeps it
    found = LateFrames.of(times, 10.0)
    assert (found.late, found.frames, found.kept) == (late, frames, kept)
    assert (found.low, found.high) == pytest.approx(wilson(late, frames), abs=1e-12)


def test_words_name_every_figure() -> None:
    assert str(LateFrames.of([12.0] + [9.0] * 99, 10.0)) == (
        "1 of 100 frames took longer than 10 ms: 0.2% to 5.4% of the stream's do (95%), 5% may"
    )

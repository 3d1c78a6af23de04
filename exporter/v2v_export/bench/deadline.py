"""Whether a deadline is kept: one frame in twenty may be late, and a run's frames are a sample.

The share of late frames has Wilson's score interval (1927, from SciPy), as if each frame were late by itself.
Lateness that comes in bursts leaves more open than it says, so a verdict near the limit wants a longer run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAY_BE_LATE = 0.05
"""The share of frames that may take longer: a deadline is one for the 95th percentile."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class LateFrames:
    """Frames that took longer than a deadline.

    Attributes:
        deadline: milliseconds.
        low, high: the share of late frames that the stream may have, with ``CONFIDENCE``.
    """

    deadline: float
    late: int
    frames: int
    low: float
    high: float

    @staticmethod
    def of(milliseconds: Sequence[float], deadline: float) -> LateFrames:
        """From every frame's time."""
        late = sum(one > deadline for one in milliseconds)
        return LateFrames(
            deadline, late, len(milliseconds), *share_interval(late, len(milliseconds), CONFIDENCE)
        )

    @property
    def kept(self) -> bool | None:
        """None where the frames are too few to tell."""
        if self.high <= MAY_BE_LATE:
            return True
        return False if self.low > MAY_BE_LATE else None

    def __str__(self) -> str:
        return (
            f"{self.late} of {self.frames} frames took longer than {self.deadline:g} ms: "
            f"{self.low:.1%} to {self.high:.1%} of the stream's do ({CONFIDENCE:.0%}), {MAY_BE_LATE:.0%} may"
        )


def share_interval(count: int, of: int, confidence: float) -> tuple[float, float]:
    """The shares that ``count`` of ``of`` are no surprise for: Wilson's score interval."""
    from scipy.stats import binomtest

    interval = binomtest(count, of).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)

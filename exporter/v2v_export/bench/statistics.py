"""The numbers of a benchmark: what one side took, and the ratio of two sides with what is known of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

LEAST_BLOCKS = 6
"""Fewer pairs of blocks cannot give a 95 % interval: with 5 the widest one covers 94 %."""


@dataclass(frozen=True)
class Latency:
    """Times of single frames, in milliseconds.

    Attributes:
        frames: how many were measured.
        p50, p95, worst: over single frames, from a frame handed in to its picture in hand.
        mean: total time over frames, work between frames included: what ``fps`` comes from.
        fps: frames per second as fast as the side goes.
    """

    frames: int
    p50: float
    p95: float
    worst: float
    mean: float
    fps: float

    @staticmethod
    def of(seconds: Sequence[float], total_seconds: float) -> Latency:
        """From the time of each frame and the time of all of them together."""
        if not seconds or total_seconds <= 0:
            raise ValueError("no frame was measured")
        milliseconds = np.asarray(seconds, np.float64) * 1e3
        p50, p95 = np.percentile(milliseconds, (50, 95))
        count = len(milliseconds)
        return Latency(
            frames=count,
            p50=float(p50),
            p95=float(p95),
            worst=float(milliseconds.max()),
            mean=total_seconds / count * 1e3,
            fps=count / total_seconds,
        )


@dataclass(frozen=True)
class Ratio:
    """How many times as long ``against`` takes per frame as ``side``, work between frames included.

    Attributes:
        estimate: Hodges-Lehmann: the median of the pairwise geometric means of the blocks' ratios.
        low, high: 95 % confidence interval by Wilcoxon's signed-rank distribution, exact.
        blocks: pairs of neighbouring blocks that it comes from.
    """

    side: str
    against: str
    estimate: float
    low: float
    high: float
    blocks: int

    @property
    def conclusive(self) -> bool:
        """Whether the interval tells which side is quicker."""
        return self.low > 1 or self.high < 1

    def __str__(self) -> str:
        span = f"95 % between {self.low:.2f} and {self.high:.2f}, {self.blocks} blocks"
        if not self.conclusive:
            return f"{self.side} against {self.against}: INCONCLUSIVE ({self.estimate:.2f}x as fast, {span})"
        return f"{self.side} against {self.against}: {self.estimate:.2f}x as fast ({span})"


def compare(side: str, side_blocks: Sequence[float], against: str, against_blocks: Sequence[float]) -> Ratio:
    """The ratio of two sides that took turns.

    Args:
        side_blocks, against_blocks: mean time per frame of each block; entry i of both ran side by side, so
            that whatever slowed the machine down then slowed both.

    Raises:
        ValueError: not as many blocks on both sides, fewer than ``LEAST_BLOCKS``, or a time that is no time.
    """
    if len(side_blocks) != len(against_blocks) or len(side_blocks) < LEAST_BLOCKS:
        raise ValueError(
            f"{len(side_blocks)} and {len(against_blocks)} blocks; equally many and at least {LEAST_BLOCKS}"
        )
    times = np.asarray([against_blocks, side_blocks], np.float64)
    if not (np.isfinite(times).all() and (times > 0).all()):
        raise ValueError("block times must be finite and above zero")
    logs = np.log(times[0] / times[1])
    walsh = sorted((a + b) / 2 for a, b in combinations_with_replacement(logs.tolist(), 2))
    drop = signed_rank_critical(len(logs))
    return Ratio(
        side=side,
        against=against,
        estimate=math.exp(float(np.median(walsh))),
        low=math.exp(walsh[drop]),
        high=math.exp(walsh[-1 - drop]),
        blocks=len(logs),
    )


def signed_rank_critical(count: int, confidence: float = 0.95) -> int:
    """How many of the ordered Walsh averages of ``count`` values each end of the interval leaves out.

    The largest T with ``2 P(W <= T) <= 1 - confidence``, W being Wilcoxon's signed-rank statistic: the
    (T+1)-th smallest and the (T+1)-th largest average then hold the centre with at least that confidence.
    """
    # ways[w]: subsets of {1..count} with sum w.
    ways = [1] + [0] * (count * (count + 1) // 2)
    for rank in range(1, count + 1):
        for total in range(len(ways) - 1, rank - 1, -1):
            ways[total] += ways[total - rank]
    critical, tail = -1, ways[0]
    while 2 * tail <= (1 - confidence) * 2**count:
        critical += 1
        tail += ways[critical + 1]
    if critical < 0:
        raise ValueError(f"{count} values cannot give a {confidence:.0%} interval")
    return critical

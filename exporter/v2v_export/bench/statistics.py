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
    """How many times as long ``slower`` takes per frame as ``faster``, work between frames included.

    Attributes:
        estimate: Hodges-Lehmann: the median of the pairwise geometric means of the blocks' ratios.
        low, high: 95 % confidence interval by Wilcoxon's signed-rank distribution, exact.
        blocks: pairs of neighbouring blocks that it comes from.
    """

    slower: str
    faster: str
    estimate: float
    low: float
    high: float
    blocks: int

    @property
    def conclusive(self) -> bool:
        """Whether the interval tells which side is quicker."""
        return self.low > 1 or self.high < 1

    def __str__(self) -> str:
        span = f"95 % between {self.low:.2f} and {self.high:.2f}"
        if not self.conclusive:
            return f"INCONCLUSIVE: {self.estimate:.2f}x, {span}, {self.blocks} blocks"
        return f"{self.estimate:.2f}x ({span}, {self.blocks} blocks)"


def compare(
    slower: str, slower_blocks: Sequence[float], faster: str, faster_blocks: Sequence[float]
) -> Ratio:
    """The ratio of two sides that took turns.

    Args:
        slower_blocks, faster_blocks: mean time per frame of each block; entry i of both ran side by side, so
            that whatever slowed the machine down then slowed both.

    Raises:
        ValueError: not as many blocks on both sides, fewer than ``LEAST_BLOCKS``, or a time that is no time.
    """
    if len(slower_blocks) != len(faster_blocks) or len(slower_blocks) < LEAST_BLOCKS:
        raise ValueError(
            f"{len(slower_blocks)} and {len(faster_blocks)} blocks; equally many and at least {LEAST_BLOCKS}"
        )
    times = np.asarray([slower_blocks, faster_blocks], np.float64)
    if not (np.isfinite(times).all() and (times > 0).all()):
        raise ValueError("block times must be finite and above zero")
    logs = np.log(times[0] / times[1])
    walsh = sorted((a + b) / 2 for a, b in combinations_with_replacement(logs.tolist(), 2))
    drop = signed_rank_critical(len(logs))
    return Ratio(
        slower=slower,
        faster=faster,
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

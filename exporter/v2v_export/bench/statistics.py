"""The numbers of a benchmark: what one side took, and the ratio of two sides with what is known of it.

The centre of a few paired differences is the Hodges-Lehmann estimate (Hodges and Lehmann, 1963): the median
of their Walsh averages. Its interval leaves out as many of the ordered averages at each end as Wilcoxon's
signed-rank distribution allows; SciPy has that distribution, exact.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

P99_FRAMES = 500
"""Frames that a 99th percentile needs: five of them then lie beyond it."""

P95_RUNS = 100
"""Runs that a call's 95th percentile needs, for the same reason."""

LEAST_BLOCKS = 6
"""Fewer pairs of blocks cannot give a 95 % interval: with 5 the widest one covers 94 %."""


@dataclass(frozen=True)
class Latency:
    """Times of single frames, in milliseconds.

    Attributes:
        frames: how many were measured.
        p50, p95, worst: over single frames, from a frame handed in to its picture in hand.
        p99: None where fewer than ``P99_FRAMES`` were measured: it would be one or two frames' own time.
        jitter: mean difference of neighbouring frames' times.
        mean: total time over frames, work between frames included: what ``fps`` comes from.
        fps: frames per second as fast as the side goes.
    """

    frames: int
    p50: float
    p95: float
    worst: float
    mean: float
    fps: float
    p99: float | None = None
    jitter: float = 0.0

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
            p99=float(np.percentile(milliseconds, 99)) if count >= P99_FRAMES else None,
            jitter=_jitter(milliseconds),
        )


@dataclass(frozen=True)
class CallTimes:
    """Times of single runs of one call, in milliseconds.

    Attributes:
        runs: how many were measured.
        p95, p99: None where fewer than ``P95_RUNS`` and ``P99_FRAMES`` were: no five of them lie beyond it.
        jitter: mean difference of neighbouring runs' times.
    """

    runs: int
    p50: float
    p95: float | None
    p99: float | None
    worst: float
    jitter: float

    @staticmethod
    def of(milliseconds: Sequence[float]) -> CallTimes:
        """From the time of each run, at least one."""
        count = len(milliseconds)

        def percentile(share: int, least: int) -> float | None:
            return float(np.percentile(milliseconds, share)) if count >= least else None

        return CallTimes(
            count,
            float(np.median(milliseconds)),
            percentile(95, P95_RUNS),
            percentile(99, P99_FRAMES),
            float(max(milliseconds)),
            _jitter(np.asarray(milliseconds, np.float64)),
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
    found = centre(np.log(times[0] / times[1]).tolist())
    return Ratio(
        side=side,
        against=against,
        estimate=math.exp(found.estimate),
        low=math.exp(found.low),
        high=math.exp(found.high),
        blocks=found.count,
    )


@dataclass(frozen=True)
class Centre:
    """The Hodges-Lehmann estimate of ``count`` values with its interval; in the values' own unit."""

    estimate: float
    low: float
    high: float
    confidence: float
    count: int


def centre(values: Sequence[float], confidence: float = 0.95) -> Centre:
    """Where the values lie, as a symmetric distribution's centre.

    Raises:
        ValueError: a value that is not finite, or too few of them for an interval of that confidence.
    """
    found = np.asarray(values, np.float64)
    if not np.isfinite(found).all():
        raise ValueError("a centre needs finite values")
    drop = signed_rank_critical(len(found), confidence)
    rows, columns = np.triu_indices(len(found))
    walsh = np.sort((found[rows] + found[columns]) / 2)
    estimate, low, high = float(np.median(walsh)), float(walsh[drop]), float(walsh[-1 - drop])
    return Centre(estimate, low, high, confidence, len(found))


@lru_cache
def signed_rank_critical(count: int, confidence: float = 0.95) -> int:
    """How many of the ordered Walsh averages of ``count`` values each end of the interval leaves out.

    The largest T with ``2 P(W <= T) <= 1 - confidence``, W being Wilcoxon's signed-rank statistic: the
    (T+1)-th smallest and the (T+1)-th largest average then hold the centre with at least that confidence.
    """
    from scipy.stats import wilcoxon

    def level(total: int) -> float:
        return float(wilcoxon(_signed_ranks(count, total), method="exact").pvalue)

    # It rises with the total, up to the distribution's middle: no need to ask for each.
    critical = bisect_right(range(count * (count + 1) // 4 + 1), 1 - confidence, key=level) - 1
    if critical < 0:
        raise ValueError(f"{count} values cannot give a {confidence:.0%} interval")
    return critical


def _signed_ranks(count: int, total: int) -> list[float]:
    """1 to ``count`` with signs such that the positive ones add up to ``total``: a sample whose W is that."""
    ranks = []
    for rank in range(count, 0, -1):
        positive = rank <= total
        ranks.append(float(rank if positive else -rank))
        total -= rank if positive else 0
    return ranks


def _jitter(milliseconds: NDArray[np.float64]) -> float:
    """Mean difference of neighbours."""
    return float(np.abs(np.diff(milliseconds)).mean()) if len(milliseconds) > 1 else 0.0

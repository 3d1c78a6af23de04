"""When a warm-up has ended: its frame times have left their start behind, and no longer drift.

The series that is judged has one value for each batch of periods. Its start is left out where MSER says
(White, 1997): at the cut that gives the rest's mean the least standard error, sought in the first half. What
is kept must show no trend (Mann, 1945; Kendall, 1975), or one too small to matter (Theil, 1950; Sen, 1968).
Where it scatters so much that a trend could not show, more of it is waited for. A good look may be luck, so
the next one, on more of the series, has to confirm it.

A trend is told from its own noise: one warm-up does not tell of a drift that is small and slow. What
``v2v-export compare`` makes of its rounds together does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

BATCH_NS = 8_000_000
"""Nanoseconds that a batch takes at least, in whole periods: slow frames are judged one by one."""

BATCH_PERIODS = 5
"""Periods of a batch at most. Its value is their median: one late frame does not look like a trend."""

LEAST_BATCHES = 12
"""Batches before the first look."""

GROWTH = Fraction(7, 6)
"""How much longer the series is at each look than at the one before: looks on nearly the same values would
confirm each other whatever they say."""

NORMAL = 1.2
"""Standard deviations of Kendall's statistic, as it is without a trend, from which on it tells of one: 3 of 4
looks at a steady series are well below."""

TOLERANCE = 0.005
"""A trend that changes less than this share over what is kept does not matter."""

MOST_CHANGE = 0.04
"""The share that a trend may change over what is kept, its standard error added, unless ``MANY_VALUES`` are
kept: times may scatter for ever."""

MANY_VALUES = 33

MOST_VALUES = 200
"""Of a longer series neighbours are put together: each pair of values is looked at."""

Values = NDArray[np.float64]


class WarmUp:
    """Follows a warm-up: its player ``add``s the times of ``wanted`` frames until they have ``settled``.

    Attributes:
        frame_ns: all frame times so far.
        settled: whether they have settled.
        judged: whether there were looks enough for them to.
        waited: whether there are as many values as one waits for, however they scatter.
    """

    def __init__(self, period: int) -> None:
        """
        Args:
            period: frames after which the work of a frame repeats.
        """
        self.frame_ns: list[int] = []
        self.settled = False
        self._period = period
        self._batch = period
        self._start = 2 * period  # loads code and builds thread pools: no time to judge by
        self._looks = 0
        self._values = 0
        self._next_look = LEAST_BATCHES
        self._steady = False

    @property
    def wanted(self) -> int:
        """Frames to play before the next ``add``."""
        return self._batch if self.frame_ns else self._start

    @property
    def judged(self) -> bool:
        return self._looks >= 2

    @property
    def waited(self) -> bool:
        return self.judged and self._values >= MANY_VALUES

    def add(self, frame_ns: Sequence[int]) -> None:
        """Takes the times of ``wanted`` frames, in nanoseconds."""
        self.frame_ns += frame_ns
        if self._looks == 0:
            # At first the second period is all there is to guess by, and it may take twice what comes.
            period_ns = self._period * float(np.median(periods(self.frame_ns, self._period)[1:]))
            count = math.ceil(BATCH_NS / max(period_ns, 1.0))
            self._batch = self._period * min(count, BATCH_PERIODS)
        self._values = max(0, len(self.frame_ns) - self._start) // self._batch
        if self._values < self._next_look:
            return
        series = batches(self.frame_ns[self._start :], self._period, self._batch)
        self._next_look = math.ceil(self._values * GROWTH)
        self._looks += 1
        before, self._steady = self._steady, is_steady(series)
        self.settled = before and self._steady


def periods(times: Sequence[int], period: int) -> Values:
    """The mean time per frame of each whole period."""
    whole = len(times) // period * period
    means: Values = np.reshape(np.asarray(times[:whole], np.float64), (-1, period)).mean(axis=1)
    return means


def batches(times: Sequence[int], period: int, batch: int) -> list[float]:
    """The median over the periods of each whole batch, of a period's mean time per frame.

    Args:
        batch: frames, a multiple of ``period``.
    """
    whole = len(times) // batch * batch
    medians = np.median(np.reshape(periods(times[:whole], period), (-1, batch // period)), axis=1)
    return [float(value) for value in medians]


def is_steady(series: Sequence[float]) -> bool:
    """Whether a series, its start left out, goes on as it is: one look, which another has to confirm."""
    if len(series) < LEAST_BATCHES:
        return False
    values = np.asarray(series, np.float64)
    half = len(values) // 2
    # MSER leaves the end of a decay in where it is small beside the noise; a trend it is all the same.
    return _is_level(values[_start(values) :]) or (half >= LEAST_BATCHES and _is_level(values[half:]))


def _is_level(values: Values) -> bool:
    """Whether no trend that matters is in the values, or could be there unseen."""
    kept = _shortened(values)
    rows, columns = np.triu_indices(len(kept), 1)
    rises = kept[columns] - kept[rows]
    slope = float(np.median(rises / (columns - rows)))
    level = float(np.median(kept))
    change = abs(slope) * (len(kept) - 1) / level
    off = kept - slope * np.arange(len(kept))
    # From the mean absolute residual: two of them are what the line itself has taken up.
    deviation = math.sqrt(math.pi / 2) * float(np.abs(off - np.median(off)).sum()) / (len(kept) - 2) / level
    error = deviation * math.sqrt(12 / len(kept))
    no_trend = change <= TOLERANCE or abs(_kendall(rises, len(kept))) <= NORMAL
    return no_trend and (change + error <= MOST_CHANGE or len(values) >= MANY_VALUES)


def _start(values: Values) -> int:
    """Where to cut: the rest's mean has the least standard error. In the first half."""
    centred = (values - values.mean())[::-1]
    counts = np.arange(1, len(values) + 1)
    spread = np.cumsum(centred**2) / counts - (np.cumsum(centred) / counts) ** 2
    errors = (np.maximum(spread, 0) / counts)[::-1]
    return int(np.argmin(errors[: len(values) // 2 + 1]))


def _kendall(rises: Values, count: int) -> float:
    """Kendall's statistic of a trend, in the standard deviations that it has without one."""
    return float(np.sign(rises).sum()) / math.sqrt(count * (count - 1) * (2 * count + 5) / 18)


def _shortened(values: Values) -> Values:
    """Means of neighbours, so many that ``MOST_VALUES`` are left at most."""
    step = -(-len(values) // MOST_VALUES)
    means: Values = values[len(values) % step :].reshape(-1, step).mean(axis=1)
    return means

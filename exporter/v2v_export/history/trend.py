"""Where the level of a figure changed, by PELT (Killick, Fearnhead and Eckley, 2012) from ``ruptures``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v2v_export.history.file import Record

LEAST = 3
"""Runs in a level, at least: a single odd run is no change."""

LEAST_CHANGE = 0.01
"""Share by which two levels differ at least."""

SURE = 4.0
"""Deviations by which two levels differ at least: there are many places where a change could be seen."""

SPARKS = "▁▂▃▄▅▆▇█"
"""Lowest to highest, for a terminal."""

Logs = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """Runs between two changes.

    Attributes:
        first, last: indices of its runs in the trend.
        turn: the median of their ``Record.turn``, in milliseconds.
    """

    first: int
    last: int
    turn: float


@dataclass(frozen=True)
class Trend:
    """What a history says of one run's bundle, target, machine and conditions.

    Attributes:
        run: the run that was asked about.
        every: the runs that are comparable with it, oldest first, NOISY ones among them.
        levels: of ``runs``.
        others: what was measured otherwise in runs of the same bundle, target and machine -> how many runs
            differ in it.
    """

    run: Record
    every: tuple[Record, ...]
    levels: tuple[Level, ...]
    others: Mapping[str, int]

    @property
    def runs(self) -> tuple[Record, ...]:
        """Those that make the trend: measured on a machine that was fit to."""
        return tuple(item for item in self.every if not item.noise)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "runs": [asdict(item) for item in self.runs],
            "noisy": [asdict(item) for item in self.every if item.noise],
            "levels": [asdict(level) for level in self.levels],
            "changes": self.changes,
            "others": dict(self.others),
        }

    @property
    def changes(self) -> list[str]:
        """Each change in words."""
        told, runs = [], self.runs
        for before, after in pairwise(self.levels):
            run, last = runs[after.first], runs[before.last]
            name = f" ({run.commit})" if run.commit else ""
            told.append(
                f"{run.time[:16]}{name}: {before.turn:.2f} -> {after.turn:.2f} ms, "
                f"{after.turn / before.turn - 1:+.1%}{_new_versions(last, run)}"
            )
        return told

    @property
    def apart(self) -> list[str]:
        """What is no part of the trend, and why, in words."""
        told = []
        if self.run.noise:
            told.append(f"this run is NOISY, kept and no part of the trend: {'; '.join(self.run.noise)}")
        if noisy := sum(bool(item.noise) for item in self.every if item is not self.run):
            told.append(f"NOISY and no part of the trend: {counted(noisy, 'earlier run')}")
        if self.others:
            kinds = ", ".join(f"{name} ({counted(count, 'run')})" for name, count in self.others.items())
            told.append(f"measured otherwise, and not compared with: other {kinds}")
        return told


def trend(records: Sequence[Record], run: Record) -> Trend:
    """The trend that ``run``, one of the records, belongs to.

    A deadline changes no time, and a commit, an identity and versions are what a trend is about: runs that
    differ in these are comparable.
    """
    every, others = [], Counter[str]()
    for item in records:
        unlike = item.unlike(run)
        if not unlike:
            every.append(item)
        elif unlike[0] in run.conditions or unlike[0] in item.conditions:
            others.update(unlike)
    fit = [item.turn for item in every if not item.noise]
    return Trend(run, tuple(every), tuple(_levels(fit)), dict(others))


def counted(count: int, thing: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def sparkline(values: Sequence[float], most: int = 60) -> str:
    """The last ``most`` values as one line of blocks, from their least to their greatest."""
    shown = values[-most:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARKS[round((value - low) * scale)] for value in shown)


def _levels(values: Sequence[float]) -> list[Level]:
    if not values:
        return []
    logs = np.log(np.asarray(values, np.float64))
    noise = _noise(logs)
    bounds = [0, *_changes(logs, noise), len(values)]
    merged: list[Level] = []
    for first, last in pairwise(bounds):
        level = _level(logs, first, last - 1)
        if merged and not _differ(merged[-1], level, noise):
            level = _level(logs, merged.pop().first, last - 1)
        merged.append(level)
    return merged


def _level(logs: Logs, first: int, last: int) -> Level:
    return Level(first, last, float(math.exp(np.median(logs[first : last + 1]))))


def _differ(before: Level, after: Level, noise: float) -> bool:
    """Whether two neighbouring levels differ by more than ``LEAST_CHANGE`` and than their medians' noise."""
    counts = (level.last - level.first + 1 for level in (before, after))
    # A median's deviation is 1.25 times a mean's.
    uncertain = 1.25 * noise * math.sqrt(sum(1 / count for count in counts))
    return abs(math.log(after.turn / before.turn)) > max(LEAST_CHANGE, SURE * uncertain)


def _noise(logs: Logs) -> float:
    """The runs' deviation, from neighbouring differences, so that changes of level do not count as noise."""
    if len(logs) < 2:
        return 1e-4
    # The median of |x - y| of two normal values is 0.954 of their deviation.
    return max(float(np.median(np.abs(np.diff(logs)))) / 0.954, 1e-4)


def _changes(logs: Logs, noise: float) -> list[int]:
    """Where a new level may begin. Cost is by medians, so that one odd run does not make a level."""
    if len(logs) < 2 * LEAST:
        return []
    import ruptures

    penalty = 2.5 * noise * math.log(len(logs))
    found = ruptures.Pelt(model="l1", min_size=LEAST, jump=1).fit(logs.reshape(-1, 1)).predict(pen=penalty)
    return [int(index) for index in found[:-1]]


def _new_versions(before: Record, after: Record) -> str:
    """What else changed between two runs."""
    told = []
    for name in dict.fromkeys((*before.versions, *after.versions)):
        old, new = (run.versions.get(name, "none") for run in (before, after))
        if old != new:
            told.append(f"{name} {old} -> {new}")
    return f", with {', '.join(told)}" if told else ""

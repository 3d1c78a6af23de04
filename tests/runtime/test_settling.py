"""When a warm-up has ended: series whose steady state is known, with and without noise, all seeded.

What it promises is held here: where it says settled, the mean of what follows is within 1 % of the steady
state, but for so many in a hundred warm-ups; and a steady series settles, noise or not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from v2v_runtime import settling
from v2v_runtime.settling import WarmUp, batches, is_steady

Series = NDArray[np.float64]

MOST = 70
"""Batches that a warm-up of ``compare`` has at 3.3 ms a frame and a period of 3: 10 ms each of 0.7 s."""

FOLLOWS = 16
"""Batches whose mean is looked at: a third of what a side plays in the round that comes after."""

BATCHES = np.arange(MOST + FOLLOWS)


def settles_at(series: Sequence[float] | Series) -> int | None:
    """Batches after which a warm-up of this series, a batch a frame of as many milliseconds, has settled."""
    warm_up = WarmUp(period=1)
    start = [20_000_000] * warm_up.wanted
    warm_up.add(start)
    assert warm_up.wanted == 1, "frames of 20 ms are judged one by one"
    for value in series[:MOST]:
        warm_up.add([round(value * 20e6)])
        if warm_up.settled:
            return len(warm_up.frame_ns) - len(start)
    return None


def rates(level: Series, noise: float, count: int = 60) -> tuple[float, float]:
    """Shares of seeded warm-ups that settle, and that settle too early.

    Args:
        level: what batches take without noise; its last value is the steady state.
        noise: standard deviation of a batch, as a share.
    """
    settled = early = 0
    for seed in range(count):
        at = settles_at(level * (1 + noise * np.random.default_rng(seed).standard_normal(len(level))))
        if at is not None:
            settled += 1
            early += abs(level[at : at + FOLLOWS].mean() / level[-1] - 1) > 0.01
    return settled / count, early / count


def decay(share: float, constant: float) -> Series:
    return np.asarray(1 + share * np.exp(-BATCHES / constant))


FLAT = np.ones(MOST + FOLLOWS)


@pytest.mark.parametrize(("noise", "least"), [(0.0, 1.0), (0.01, 0.98), (0.03, 0.98), (0.05, 0.8)])
def test_a_steady_series_settles_whatever_its_noise(noise: float, least: float) -> None:
    assert rates(FLAT, noise, 100)[0] >= least


def test_bursts_do_not_keep_a_series_from_settling() -> None:
    """Every tenth batch or so takes a third longer."""
    settled = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        settled += (
            settles_at(1 + 0.01 * rng.standard_normal(MOST) + 0.3 * (rng.random(MOST) < 0.1)) is not None
        )
    assert settled >= 57


def test_noise_that_lasts_some_batches_is_no_drift() -> None:
    """Neighbours are alike (0.6), as on a machine whose host is busy now and then."""
    settled = 0
    for seed in range(60):
        rng, state, values = np.random.default_rng(seed), 0.0, []
        for _ in range(MOST):
            state = 0.6 * state + math.sqrt(1 - 0.36) * rng.standard_normal()
            values.append(1 + 0.02 * state)
        settled += settles_at(values) is not None
    assert settled >= 55


@pytest.mark.parametrize("noise", [0.002, 0.01, 0.03])
@pytest.mark.parametrize(
    ("share", "constant", "least"),
    [(0.05, 5, 0.9), (0.1, 5, 0.9), (0.2, 5, 0.9), (0.05, 10, 0.85), (0.1, 10, 0.2), (0.2, 10, 0.0)],
)
def test_a_quick_decay_is_over_when_it_has_settled(
    share: float, constant: float, least: float, noise: float
) -> None:
    """The two largest take longer than a warm-up of this length has: they are told as not settled."""
    settled, early = rates(decay(share, constant), noise, 40)
    assert early <= 0.1
    assert settled >= least


@pytest.mark.parametrize(
    ("share", "constant", "noise", "most"),
    [
        (0.2, 20, 0.002, 0.0),
        (0.2, 20, 0.01, 0.05),
        (0.2, 40, 0.002, 0.0),
        (0.2, 40, 0.005, 0.02),
        (0.2, 40, 0.01, 0.2),
        (0.1, 20, 0.002, 0.0),
        (0.1, 20, 0.005, 0.1),
        (0.1, 40, 0.002, 0.02),
        (0.1, 40, 0.005, 0.2),
        (0.05, 20, 0.002, 0.05),
        (0.05, 20, 0.005, 0.3),
    ],
)
def test_a_slow_decay_is_seen_where_noise_lets_it(
    share: float, constant: float, noise: float, most: float
) -> None:
    """The rule's limits: from noise of a twentieth of the decay on, one warm-up cannot tell."""
    assert rates(decay(share, constant), noise)[1] <= most


@pytest.mark.parametrize("noise", [0.002, 0.01, 0.03])
def test_what_grows_for_ever_does_not_settle(noise: float) -> None:
    assert rates(1 + 0.01 * BATCHES, noise, 40)[0] <= 0.05


def test_twenty_percent_over_thirty_batches_is_not_over_after_six() -> None:
    assert settles_at(decay(0.2, 30)) is None


def test_ten_slow_batches_are_left_out() -> None:
    at = settles_at([9.0] * 10 + [4.0] * 60)
    assert at is not None
    assert 12 < at <= 28


def test_a_wild_first_batch_costs_nothing() -> None:
    assert settles_at([40.0] + [4.0] * 60) == settles_at([4.0] * 60) == 14


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize(("other", "most"), [(4.2, 33), (5.0, 63)])
def test_two_modes_in_turns_are_a_steady_state(length: int, other: float, most: int) -> None:
    at = settles_at([4.0 if index // length % 2 else other for index in range(MOST)])
    assert at is not None
    assert at <= most


def test_the_next_look_has_to_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 12, 14, 17, 20 and 24 batches: yes, no, yes, yes, and it is not asked again."""
    looks: list[int] = []

    def look(series: Sequence[float]) -> bool:
        looks.append(len(series))
        return len(looks) != 2

    monkeypatch.setattr(settling, "is_steady", look)
    assert settles_at(FLAT) == 20
    assert looks == [12, 14, 17, 20]


def test_a_short_series_is_not_judged() -> None:
    assert not is_steady([4.0] * 11)
    assert is_steady([4.0] * 12)


def test_a_long_series_is_judged_in_neighbours_means() -> None:
    rng = np.random.default_rng(2)
    flat = 4 + 0.1 * rng.standard_normal(5000)
    assert is_steady(flat)
    assert not is_steady(flat + 0.001 * np.arange(5000))


def test_a_value_is_the_median_over_periods_of_their_mean() -> None:
    """Period 3: means 2, 40 and 4, the second with a late frame; what is left over is no batch yet."""
    assert batches([1, 2, 3, 10, 100, 10, 3, 4, 5, 7, 7, 7], 3, 9) == [4.0]


@pytest.mark.parametrize(
    ("frame_ms", "period", "batch"),
    [(0.1, 1, 5), (3.3, 1, 3), (3.3, 3, 3), (1.1, 3, 9), (30, 1, 1), (30, 4, 4)],
)
def test_a_batch_is_whole_periods_of_eight_milliseconds(frame_ms: float, period: int, batch: int) -> None:
    warm_up = WarmUp(period)
    assert warm_up.wanted == 2 * period
    warm_up.add([9_000_000_000] * period + [round(frame_ms * 1e6)] * period)
    assert warm_up.wanted == batch


def test_a_slow_second_period_does_not_make_batches_short() -> None:
    """Period 3: 20 ms at first, 3.3 ms from then on, of which a batch takes three."""
    warm_up = WarmUp(3)
    warm_up.add([6_600_000] * 6)
    sizes = []
    for _ in range(5):
        sizes.append(warm_up.wanted)
        warm_up.add([1_100_000] * warm_up.wanted)
    assert sizes[0] == 3
    assert sizes[2:] == [9, 9, 9]


class Plain:
    """The rule as ``docs/latency.md`` has it, with everything reckoned anew at each ``add``."""

    def __init__(self, period: int) -> None:
        self.period, self.times = period, list[int]()
        self.looks: list[tuple[int, bool]] = []
        self.wanted = 2 * period

    def add(self, times: Sequence[int]) -> None:
        self.times += times
        first = 2 * self.period
        if not self.looks:
            seconds = [sum(times) for times in self._chunks(self.times[self.period :], self.period)]
            batch_periods = min(5, math.ceil(8e6 / (statistics.median(seconds) or 1)))
            self.wanted = batch_periods * self.period
        means = [
            [sum(frames) / self.period for frames in self._chunks(batch, self.period)]
            for batch in self._chunks(self.times[first:], self.wanted)
        ]
        series = [statistics.median(values) for values in means]
        self.count = len(series)
        if len(series) >= (math.ceil(Fraction(7, 6) * self.looks[-1][0]) if self.looks else 12):
            self.looks.append((len(series), is_steady(series)))

    @staticmethod
    def _chunks(times: Sequence[int], size: int) -> list[Sequence[int]]:
        return [times[start : start + size] for start in range(0, len(times) - size + 1, size)]

    @property
    def told(self) -> tuple[bool, bool, bool, int]:
        judged = len(self.looks) >= 2
        settled = judged and self.looks[-2][1] and self.looks[-1][1]
        return settled, judged, judged and self.count >= 33, self.wanted


@pytest.mark.parametrize(
    ("frame_ms", "period", "noise"),
    [(0.3, 1, 0.05), (1.1, 3, 0.03), (3.3, 1, 0.1), (3.3, 4, 0.02), (30.0, 1, 0.05), (30.0, 3, 0.2)],
)
def test_it_decides_as_if_the_series_were_built_at_every_add(
    frame_ms: float, period: int, noise: float
) -> None:
    """Times that fall from twice their last, seeded; frames of a period differ."""
    rng, warm_up, plain = np.random.default_rng(period), WarmUp(period), Plain(period)
    refresh = np.where(np.arange(period) == period - 1, 1.5, 1.0)
    for step in range(100):
        assert warm_up.wanted == plain.wanted
        shape = np.resize(refresh, warm_up.wanted) * (1 + math.exp(-step / 5))
        times = [
            int(ns) for ns in frame_ms * 1e6 * shape * (1 + noise * np.abs(rng.standard_normal(len(shape))))
        ]
        warm_up.add(times)
        plain.add(times)
        assert (warm_up.settled, warm_up.judged, warm_up.waited, warm_up.wanted) == plain.told
    assert {True, False} == {steady for _, steady in plain.looks}


def test_a_long_warm_up_builds_its_series_at_looks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """From 12 batches on by a sixth at a time, 1000 batches are looked at 28 times."""
    built = []

    def counted(times: Sequence[int], period: int, batch: int) -> list[float]:
        built.append(len(times))
        return batches(times, period, batch)

    monkeypatch.setattr(settling, "batches", counted)
    warm_up = WarmUp(1)
    warm_up.add([20_000_000] * 2)
    for index in range(1000):
        warm_up.add([20_000_000 + 1_000_000 * index])
    looks, size = 0, 12
    while size <= 1000:
        looks, size = looks + 1, -(-7 * size // 6)
    assert len(built) == looks == 28


def test_two_looks_make_it_judged() -> None:
    warm_up = WarmUp(1)
    warm_up.add([30_000_000] * 2)
    for count in range(1, 15):
        assert not warm_up.judged, count
        warm_up.add([30_000_000 + count * 10_000_000])
    assert warm_up.judged
    assert not warm_up.settled


def test_thirty_three_values_are_waited_for() -> None:
    warm_up = WarmUp(3)
    warm_up.add([30_000_000] * 6)
    for count in range(1, 34):
        assert not warm_up.waited, count
        warm_up.add([30_000_000 + count * 10_000_000] * 3)
    assert warm_up.waited


@pytest.mark.parametrize("noise", [0.01, 0.02, 0.03])
def test_slow_frames_settle_in_the_values_that_they_get(noise: float) -> None:
    """33 batches, a period each: at 30 ms a frame and a period of 3, the three seconds that a side has."""
    settled = 0
    for seed in range(60):
        rng, warm_up = np.random.default_rng(seed), WarmUp(3)
        warm_up.add([30_000_000] * 6)
        while not warm_up.settled and not warm_up.waited:
            warm_up.add([round(30e6 * (1 + noise * rng.standard_normal()))] * 3)
        settled += warm_up.settled
    assert settled >= 60 * 0.7

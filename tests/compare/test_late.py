"""The share of late frames: intervals against published figures and SciPy's, power and false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import permutation_test
from v2v_export.compare.job import DEADLINE_FRAMES, ROUNDS
from v2v_export.compare.late import Count, Difference, frames_interval, late_difference, rounds_interval
from v2v_export.compare.verdict import Limits

LIMITS = Limits()


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombes_own_examples(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    """Statistics in Medicine 17 (1998) 873-890, table II, method 10."""
    found = frames_interval([Count(*other)], [Count(*one)], 0.95)
    assert found == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_zero_is_left_out_exactly_where_the_test_that_changes_signs_rejects_it() -> None:
    """SciPy plays all 2^12 sign changes; either side has half of what 99 % leaves."""
    rng = np.random.default_rng(1)
    rejected = 0
    for _ in range(40):
        values = rng.integers(-3, 9, 12) / 50
        exact = permutation_test(
            (values,), np.mean, permutation_type="samples", alternative="greater", n_resamples=np.inf
        )
        low, _ = rounds_interval(values, 0.99)
        assert (low > 0) == (exact.pvalue <= 0.005)
        rejected += low > 0
    assert 5 <= rejected <= 35, "both answers are seen"


def test_the_interval_of_rounds_is_turned_over_with_the_sides() -> None:
    values = np.random.default_rng(2).normal(0.01, 0.02, 14)
    low, high = rounds_interval(values, 0.99)
    assert rounds_interval(-values, 0.99) == (pytest.approx(-high), pytest.approx(-low))


def test_more_rounds_are_judged_by_drawn_subsets() -> None:
    """Of a normal sample the interval is close to Student's: 2.74 standard errors for 32 rounds at 99 %."""
    values = np.random.default_rng(3).normal(0.0, 1.0, 32)
    low, high = rounds_interval(values, 0.99)
    error = values.std(ddof=1) / np.sqrt(32)
    assert (high - values.mean()) / error == pytest.approx(2.744, rel=0.06)
    assert (values.mean() - low) / error == pytest.approx(2.744, rel=0.06)


def test_few_frames_leave_much_open() -> None:
    """None late in 12 rounds of 4 frames: the rounds agree, and a share of 12 % is still likely enough."""
    none = [Count(0, 4)] * 12
    assert rounds_interval(np.zeros(12), 0.99) == (0, 0)
    found = late_difference(none, none, 0.99)
    assert found == Difference(0.0, pytest.approx(-0.1214, abs=1e-4), pytest.approx(0.1214, abs=1e-4))


def test_one_bad_round_is_no_rise() -> None:
    """Forty of fifty frames late, in one round of sixteen: 5 % of all frames, and no evidence."""
    base = [Count(0, 50)] * 16
    head = [Count(40, 50), *base[1:]]
    assert frames_interval(base, head, 0.99)[0] > 0
    assert late_difference(base, head, 0.99).low <= 0


def test_rounds_of_one_side_are_refused() -> None:
    with pytest.raises(ValueError, match="12 and 11 rounds"):
        late_difference([Count(0, 5)] * 12, [Count(0, 5)] * 11, 0.99)
    with pytest.raises(ValueError, match="12 and 12 rounds"):
        late_difference([Count(0, 0)] * 12, [Count(0, 5)] * 12, 0.99)
    with pytest.raises(ValueError, match="7 values"):
        late_difference([Count(0, 5)] * 7, [Count(0, 5)] * 7, 0.99)


def fails(
    base: float, head: float, frames: int, *, spread: float = 0.0, rounds: int = ROUNDS, count: int = 200
) -> float:
    """Share of seeded comparisons whose late frames fail.

    Args:
        base, head: the share of late frames.
        spread: how much of a share's possible variance lies between processes (beta-binomial).
    """
    rng = np.random.default_rng(round(1e4 * (base + 7 * head)) + frames)
    failed = 0
    for _ in range(count):
        sides = []
        for share in (base, head):
            shares = np.full(rounds, share)
            if spread and share:
                shares = rng.beta(share * (1 / spread - 1), (1 - share) * (1 / spread - 1), rounds)
            sides.append([Count(int(late), frames) for late in rng.binomial(frames, shares)])
        found = late_difference(*sides, LIMITS.confidence)
        failed += found.low > 0 and found.estimate > LIMITS.miss_rate
    return failed / count


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("frames", [20, DEADLINE_FRAMES, 130])
@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_equal_shares_do_not_fail(share: float, frames: int, spread: float) -> None:
    assert fails(share, share, frames, spread=spread, count=500) <= 0.01


@pytest.mark.parametrize(
    ("frames", "base", "rise"),
    [
        (DEADLINE_FRAMES, 0.0, 0.022),
        (DEADLINE_FRAMES, 0.01, 0.04),
        (DEADLINE_FRAMES, 0.05, 0.065),
        (130, 0.0, 0.013),
        (130, 0.01, 0.02),
        (130, 0.05, 0.038),
    ],
)
def test_the_rise_that_nine_comparisons_of_ten_find(frames: int, base: float, rise: float) -> None:
    """Frames of a side in a round: those of frames slower than 4 ms, and of 3 ms."""
    assert fails(base, base + rise, frames) >= 0.9

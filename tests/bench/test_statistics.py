"""The benchmark's numbers, against tables and simulations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from v2v_export.bench.statistics import CallTimes, Latency, compare, signed_rank_critical


@pytest.mark.parametrize(
    ("count", "critical"),
    [(6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (12, 13), (15, 25), (20, 52), (25, 89)],
)
def test_signed_rank_matches_the_printed_tables(count: int, critical: int) -> None:
    """Two-sided 5 % critical values of Wilcoxon's signed-rank test, as textbooks print them."""
    assert signed_rank_critical(count) == critical


@pytest.mark.parametrize("confidence", [0.95, 0.99])
@pytest.mark.parametrize("count", [*range(8, 17), 60, 200])
def test_signed_rank_matches_a_count_of_all_signs(count: int, confidence: float) -> None:
    """How many of the 2^count choices of signs give each sum of positive ranks, counted in whole numbers."""
    ways = [1]
    for rank in range(1, count + 1):
        ways = [a + b for a, b in zip(ways + [0] * rank, [0] * rank + ways, strict=True)]
    below, expected = 0, -1
    for total, each in enumerate(ways):
        below += each
        if 2 * below > (1 - confidence) * 2**count:
            break
        expected = total
    assert signed_rank_critical(count, confidence) == expected


def test_too_few_blocks_for_any_interval() -> None:
    with pytest.raises(ValueError, match="5 values"):
        signed_rank_critical(5)


def test_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    """Heavy-tailed noise on both sides, and a machine that drifts: 1000 runs of 10 blocks, true ratio 1.7."""
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(1000):
        drift = np.exp(rng.normal(0, 0.3, 10))
        noise = np.exp(rng.standard_t(3, (2, 10)) * 0.05)
        ratio = compare("a", list(drift * noise[1]), "b", list(1.7 * drift * noise[0]))
        inside += ratio.low <= 1.7 <= ratio.high
    assert inside >= 935


def test_equal_sides_are_inconclusive_about_as_often_as_they_should() -> None:
    rng = np.random.default_rng(8)
    told = sum(
        compare(
            "a", list(np.exp(rng.normal(0, 0.1, 10))), "b", list(np.exp(rng.normal(0, 0.1, 10)))
        ).conclusive
        for _ in range(1000)
    )
    assert told <= 65


def test_a_known_ratio() -> None:
    ratio = compare("stream", [1.0] * 6, "full", [2.0] * 6)
    assert (ratio.estimate, ratio.low, ratio.high) == pytest.approx((2, 2, 2))
    assert ratio.conclusive
    assert str(ratio).startswith("stream against full: 2.00x as fast")


def test_one_wild_block_does_not_decide() -> None:
    ratio = compare("a", [1.0] * 10, "b", [2.0] * 9 + [200.0])
    assert ratio.estimate == pytest.approx(2)


def test_inconclusive_says_so() -> None:
    ratio = compare("a", [1.0, 1.2, 0.9, 1.1, 1.0, 0.8], "b", [1.1, 1.0, 1.0, 1.0, 0.9, 1.0])
    assert not ratio.conclusive
    assert "INCONCLUSIVE" in str(ratio)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1.0] * 6, [1.0] * 7),
        ([1.0] * 5, [1.0] * 5),
        ([0.0] + [1.0] * 5, [1.0] * 6),
        ([math.nan] * 6, [1.0] * 6),
    ],
)
def test_blocks_that_cannot_be_compared(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError):
        compare("a", a, "b", b)


def test_latency_of_known_times() -> None:
    """1 to 100 ms; the whole took 10 s, so half of it went between the frames."""
    latency = Latency.of([n / 1000 for n in range(1, 101)], 10.0)
    assert (latency.frames, latency.worst, latency.mean, latency.fps) == (100, 100, 100, 10)
    assert latency.p50 == pytest.approx(50.5)
    assert latency.p95 == pytest.approx(95.05)


def test_no_frames_no_latency() -> None:
    with pytest.raises(ValueError, match="no frame"):
        Latency.of([], 1.0)


def test_a_calls_figures_by_hand() -> None:
    """Runs of 1, 3, 1, 3 ms: neighbours differ by 2; four runs have no 95th percentile."""
    call = CallTimes.of([1.0, 3.0, 1.0, 3.0])
    assert (call.runs, call.p50, call.p95, call.p99, call.worst, call.jitter) == (
        4,
        2.0,
        None,
        None,
        3.0,
        2.0,
    )
    assert CallTimes.of([5.0]).jitter == 0.0
    many = CallTimes.of([float(n) for n in range(1, 101)])
    assert many.p95 == pytest.approx(95.05)
    assert many.p99 is None


@pytest.mark.parametrize(("frames", "known"), [(499, False), (500, True)])
def test_a_99th_percentile_needs_five_hundred_frames(frames: int, known: bool) -> None:
    latency = Latency.of([0.001] * (frames - 5) + [0.1] * 5, 1.0)
    assert (latency.p99 is not None) == known
    assert (CallTimes.of([1.0] * frames).p99 is not None) == known
    if known:
        assert latency.jitter == pytest.approx(99 / 499)

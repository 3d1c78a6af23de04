"""Figures of a comparison beside the median: what each one sees, and what it makes of the verdict."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.simulated_rounds import figure, rounds_of
from v2v_export.compare.rounds import Round, SideRound, Turn
from v2v_export.compare.verdict import Limits, Verdict, judge


def _stalled(side: SideRound, every: int, ms: float) -> SideRound:
    """Each so-many-eth frame of a round, from its last one back, takes so much more; work goes with it."""
    turns, seen = [], 0
    for turn in side.turns:
        times = list(turn.frame_ms)
        for index in range(len(times)):
            seen += 1
            times[index] += ms if seen % every == 0 else 0.0
        turns.append(Turn(tuple(times), turn.total_ms + sum(times) - sum(turn.frame_ms)))
    return replace(side, turns=tuple(turns))


@pytest.mark.parametrize(("every", "ms"), [(60, 100.0), (40, 60.0), (60, 20.0)])
def test_a_few_frames_that_take_very_long_fail(every: int, ms: float) -> None:
    """One in sixty stands still for 100 ms: the mean is 40 % longer, and no median and no p95 tells."""
    for seed in range(5):
        rounds = [
            replace(item, head=_stalled(item.head, every, ms))
            for item in rounds_of(np.random.default_rng(seed), frames=12, turns=10, frame=0.03)
        ]
        found = judge(rounds, Limits())
        assert Verdict.FAIL not in {figure(found, what).verdict for what in ("median", "turn", "p95")}
        # Of 4 ms, and |t3| x 3 % of that, whose mean is 1.1 x 3 %.
        assert figure(found, "total").estimate == pytest.approx(ms / every / 4.13, rel=0.15)
        assert found.verdict is Verdict.FAIL


def _host_stalls(rng: np.random.Generator, side: SideRound) -> SideRound:
    """As a host that takes the processor away: one frame in 300 takes 5 to 50 ms more."""
    turns = []
    for turn in side.turns:
        count = len(turn.frame_ms)
        extra = np.where(rng.random(count) < 1 / 300, rng.uniform(5, 50, count), 0.0)
        turns.append(
            Turn(tuple((np.array(turn.frame_ms) + extra).tolist()), turn.total_ms + float(extra.sum()))
        )
    return replace(side, turns=tuple(turns))


def test_a_hosts_stalls_neither_fail_equal_sides_nor_leave_them_open() -> None:
    """60 comparisons of equal sides, stalls on either: one fails at most. Where the total cannot tell, that
    is said, and the verdict stands on the other figures."""
    rng = np.random.default_rng(21)
    found = []
    for _ in range(60):
        rounds = [
            replace(item, base=_host_stalls(rng, item.base), head=_host_stalls(rng, item.head))
            for item in rounds_of(rng, frames=12, turns=10, drift=0.01, frame=0.03)
        ]
        found.append(judge(rounds, Limits()))
    assert sum(item.verdict is Verdict.FAIL for item in found) <= 1
    open_alone = [item for item in found if item.verdict is Verdict.INCONCLUSIVE]
    assert all(
        Verdict.INCONCLUSIVE in {figure(item, what).verdict for what in ("median", "turn")}
        for item in open_alone
    )
    assert sum(item.verdict is Verdict.PASS for item in found) >= 57
    wide = [item for item in found if figure(item, "total").verdict is Verdict.INCONCLUSIVE]
    assert len(wide) >= 10, "stalls of that kind do make it wide"
    for item in wide:
        (told,) = (words for words in item.told if words.startswith("the total is not judged"))
        assert f"up to {figure(item, 'total').high:.1%}, is not ruled out" in told


@pytest.mark.parametrize("rising", ["turn", "total"])
def test_quicker_medians_are_no_improvement_where_other_figures_rise(rising: str) -> None:
    """Frames take 5 % less; turns as a whole, or all of them together, 2 % more than the base's."""

    def worse(item: Round) -> Round:
        if rising == "turn":
            excess = 1.02 * item.base.turn_ms / item.head.turn_ms
            turns = tuple(replace(turn, total_ms=turn.total_ms * excess) for turn in item.head.turns)
        else:
            first, *rest = item.head.turns
            missing = (1.02 * item.base.total_ms - item.head.total_ms) * item.head.frames
            turns = (replace(first, total_ms=first.total_ms + missing), *rest)
        return replace(item, head=replace(item.head, turns=turns))

    rounds = rounds_of(np.random.default_rng(22), -0.05, process=0.003, drift=0.003, frame=0.02)
    assert judge(rounds, Limits()).verdict is Verdict.IMPROVED
    found = judge([worse(item) for item in rounds], Limits())
    assert figure(found, "median").verdict is Verdict.IMPROVED
    assert figure(found, rising).verdict is Verdict.PASS
    assert figure(found, rising).low > 0
    assert found.verdict is Verdict.PASS
    (told,) = (words for words in found.told if "shorter, but other figures rise" in words)
    assert f"{rising} +2.0%" in told


def test_a_slower_refresh_shows_although_most_frames_are_equal() -> None:
    """Every third frame takes 1 ms more: a median over single frames would not move at all."""

    def slower_refresh(item: Round) -> Round:
        turns = tuple(
            Turn(
                tuple(ms + (i % 3 == 2) for i, ms in enumerate(turn.frame_ms)),
                turn.total_ms + len(turn.frame_ms) / 3,
            )
            for turn in item.head.turns
        )
        return replace(item, head=replace(item.head, turns=turns))

    rounds = rounds_of(np.random.default_rng(7), frames=60, period=3)
    found = judge([slower_refresh(item) for item in rounds], Limits())
    assert found.verdict is Verdict.FAIL
    median = figure(found, "median")
    assert 0.05 < median.estimate < 0.10  # a third of a millisecond of a good four


def test_late_frames_alone_can_fail() -> None:
    """One frame in twenty-five takes three times as long: the median does not move, the deadline does."""

    def late(item: Round) -> Round:
        turns = tuple(
            Turn(tuple(ms * (3 if i % 25 == 24 else 1) for i, ms in enumerate(t.frame_ms)), t.total_ms)
            for t in item.head.turns
        )
        return replace(item, head=replace(item.head, turns=turns))

    rounds = [late(item) for item in rounds_of(np.random.default_rng(8), drift=0.001, frame=0.02)]
    found = judge(rounds, Limits(), deadline=8.0)
    assert figure(found, "median").verdict is Verdict.PASS
    assert figure(found, "miss rate").estimate == pytest.approx(0.04)
    assert found.verdict is Verdict.FAIL
    relaxed = judge(rounds, Limits(), deadline=100.0)
    assert figure(relaxed, "miss rate").estimate == 0
    assert figure(relaxed, "miss rate").verdict is Verdict.PASS


def test_late_work_that_takes_longer_fails_although_frames_do_not() -> None:
    """After each turn's last picture the head works on: 6 % of the turn more than the base."""

    def works_on(item: Round) -> Round:
        turns = tuple(replace(turn, total_ms=1.06 * turn.total_ms) for turn in item.head.turns)
        return replace(item, head=replace(item.head, turns=turns))

    equal = rounds_of(np.random.default_rng(14), drift=0.005, frame=0.02)
    assert judge(equal, Limits()).verdict is Verdict.PASS
    found = judge([works_on(item) for item in equal], Limits())
    assert figure(found, "median") == figure(judge(equal, Limits()), "median")
    assert figure(found, "turn").estimate == pytest.approx(0.06, abs=0.01)
    assert found.verdict is Verdict.FAIL


def test_an_open_figure_leaves_the_verdict_open() -> None:
    """Turns' totals that scatter by 8 %, frame times that do not."""
    rng = np.random.default_rng(15)

    def scatters(item: Round) -> Round:
        turns = tuple(replace(t, total_ms=t.total_ms * (1 + rng.uniform(0, 0.4))) for t in item.head.turns)
        return replace(item, head=replace(item.head, turns=turns))

    rounds = [scatters(item) for item in rounds_of(rng, -0.17, drift=0.005, frame=0.02)]
    found = judge(rounds, Limits())
    assert figure(found, "median").verdict is Verdict.IMPROVED
    assert figure(found, "turn").verdict is Verdict.INCONCLUSIVE
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_deadline_that_is_not_judged_makes_no_pass() -> None:
    """Sixteen rounds of eight frames, none of them late: a share of 3 % cannot be ruled out."""
    rounds = rounds_of(np.random.default_rng(16), frames=2, drift=0.001, frame=0.001, process=0.001)
    assert judge(rounds, Limits()).verdict is Verdict.PASS
    found = judge(rounds, Limits(), deadline=8.0)
    assert figure(found, "median").verdict is Verdict.PASS
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.told == (
        "the deadline is not judged: 128 frames a side do not rule out that 3% more of them are late",
    )
    enough = rounds_of(np.random.default_rng(16), frames=8, drift=0.001, frame=0.001, process=0.001)
    assert judge(enough, Limits(), deadline=8.0).verdict is Verdict.PASS


def test_a_p95_of_few_frames_is_shown_and_not_judged() -> None:
    found = judge(rounds_of(np.random.default_rng(9), frames=4), Limits())
    assert not figure(found, "p95").decides
    assert figure(judge(rounds_of(np.random.default_rng(9), frames=5), Limits()), "p95").decides

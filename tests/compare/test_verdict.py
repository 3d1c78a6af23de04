"""Verdicts on simulated rounds: what they say of equal sides, of slower ones, and of bad machines."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from v2v_export.bench.host import HostSpan
from v2v_export.compare.job import ROUNDS
from v2v_export.compare.rounds import Round, SideRound, Turn
from v2v_export.compare.side import Hello
from v2v_export.compare.verdict import Judgement, Limits, Verdict, judge, least_rounds

HELLO = Hello("a", "s", "0" * 64, "cpu.onnxruntime", 16, 24, 16, 24, 1, 0.1, {})
QUIET = HostSpan(1.0, 1.0, 1.0)


def rounds_of(
    rng: np.random.Generator,
    slower: float = 0.0,
    *,
    count: int = ROUNDS,
    process: float = 0.006,
    drift: float = 0.02,
    frame: float = 0.05,
    frames: int = 50,
    turns: int = 4,
    host: HostSpan = QUIET,
    period: int = 1,
    **side: Any,
) -> list[Round]:
    """Rounds: a level per process, a drift per turn that both sides share, and one-sided noise per frame."""
    made = []
    for _ in range(count):
        drifts = np.exp(rng.normal(0, drift, turns))
        sides = []
        for excess in (0.0, slower):
            level = 4 * (1 + excess) * math.exp(rng.normal(0, process))
            played = []
            for common in drifts:
                times = level * common * (1 + np.abs(rng.standard_t(3, frames)) * frame)
                played.append(Turn(tuple(times.tolist()), float(times.sum())))
            sides.append(
                SideRound(replace(HELLO, period=period), 40, side.get("settled", True), tuple(played))
            )
        made.append(Round(("ABBA", "BAAB"), sides[0], sides[1], host))
    return made


def tally(slower: float, count: int = 80, **more: Any) -> dict[Verdict, int]:
    rng = np.random.default_rng(int(1000 * (1 + slower)))
    found: dict[Verdict, int] = dict.fromkeys(Verdict, 0)
    for _ in range(count):
        found[judge(rounds_of(rng, slower, **more), Limits()).verdict] += 1
    return found


def test_the_operating_points_on_simulated_noise() -> None:
    """What ``benchmarks/operating_points.py`` holds a machine to: 40 comparisons at each point."""
    equal, slower = tally(0.0, count=40), tally(0.05, count=40)
    assert equal[Verdict.FAIL] <= 1
    assert slower[Verdict.FAIL] >= 34
    assert slower[Verdict.IMPROVED] == 0
    # Noise of the simulated size is within the limits: nothing of this comes from refusing to judge.
    assert equal[Verdict.NOISY] == slower[Verdict.NOISY] == 0


def test_equal_sides_do_not_fail() -> None:
    found = tally(0.0)
    assert found[Verdict.FAIL] <= 1
    assert found[Verdict.IMPROVED] <= 1
    assert found[Verdict.PASS] >= 72


def test_five_percent_slower_fails_and_five_percent_quicker_improves() -> None:
    slow, quick = tally(0.05), tally(-0.05)
    assert slow[Verdict.FAIL] >= 68
    assert slow[Verdict.IMPROVED] == slow[Verdict.PASS] == 0
    assert quick[Verdict.IMPROVED] >= 68
    assert quick[Verdict.FAIL] == 0


def test_two_percent_slower_is_below_the_limit() -> None:
    assert tally(0.02, process=0.002, drift=0.005, frame=0.01)[Verdict.PASS] >= 76


def test_a_wide_interval_is_inconclusive_not_a_pass() -> None:
    found = tally(0.03, process=0.02, count=40)
    assert found[Verdict.INCONCLUSIVE] >= 20


def test_a_drift_that_meets_both_sides_is_not_a_difference() -> None:
    found = tally(0.0, drift=0.01, process=0.003, count=30)
    assert found[Verdict.PASS] == 30


def test_a_side_that_differs_from_itself_makes_no_verdict() -> None:
    """Turns that drift apart by 20 %: even a real slowdown of 10 % gets no FAIL out of that."""
    rng = np.random.default_rng(3)
    found = judge(_unpaired(rng, 0.10), Limits())
    assert found.verdict is Verdict.NOISY
    assert any("both sides differ from themselves" in reason for reason in found.noise)


def _unpaired(rng: np.random.Generator, slower: float) -> list[Round]:
    """As ``rounds_of``, but each turn of each side drifts by itself."""
    made = []
    for item in rounds_of(rng, slower, drift=0.0):
        sides = []
        for side in (item.base, item.head):
            turns = tuple(
                Turn(tuple(ms * shift for ms in turn.frame_ms), turn.total_ms * shift)
                for turn, shift in zip(side.turns, np.exp(rng.normal(0, 0.2, 4)), strict=True)
            )
            sides.append(replace(side, turns=turns))
        made.append(replace(item, base=sides[0], head=sides[1]))
    return made


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (HostSpan(1.0, 2.0, 1.0), "other processes use 1.00 cores"),
        (HostSpan(1.0, 1.0, 1.0, ("cpu0: clocks held down for heat",)), "held down"),
    ],
)
def test_load_and_heat_make_no_verdict(host: HostSpan, reason: str) -> None:
    found = judge(rounds_of(np.random.default_rng(4), 0.10, host=host), Limits())
    assert found.verdict is Verdict.NOISY
    assert any(reason in told for told in found.noise)
    assert {item.verdict for item in found.compared} == {Verdict.NOISY}


def test_one_round_under_load_is_set_aside() -> None:
    """It said ten times as slow; neither that nor its length is looked at, only what the host did."""
    rng = np.random.default_rng(5)
    rounds = rounds_of(rng, 0.10, count=13)
    wild = rounds_of(rng, 9.0, count=1)[0]
    expected = judge([*rounds[:3], *rounds[4:]], Limits())
    rounds[3] = replace(wild, host=HostSpan(1.0, 2.5, 1.0))
    found = judge(rounds, Limits())
    assert (found.verdict, found.rounds, found.set_aside) == (Verdict.FAIL, 12, 1)
    assert found.compared == expected.compared
    assert found.noise == ()


@pytest.mark.parametrize(
    ("count", "busy", "verdict"), [(24, 12, Verdict.FAIL), (24, 13, Verdict.NOISY), (16, 5, Verdict.NOISY)]
)
def test_rounds_that_are_left(count: int, busy: int, verdict: Verdict) -> None:
    """Half of them, and 12: fewer make no verdict."""
    rounds = rounds_of(np.random.default_rng(11), 0.10, count=count)
    rounds[:busy] = [replace(item, host=HostSpan(1.0, 1.6, 1.0)) for item in rounds[:busy]]
    found = judge(rounds, Limits())
    assert found.verdict is verdict
    if verdict is Verdict.NOISY:
        assert f"other processes use 0.60 cores (limit 0.25) in {busy} of {count} rounds" in found.noise
        assert (found.rounds, found.set_aside) == (count, 0)


def test_sides_that_never_settle_make_no_verdict() -> None:
    found = judge(rounds_of(np.random.default_rng(6), settled=False), Limits())
    assert found.verdict is Verdict.NOISY
    assert any("did not settle in 32 of 32" in told for told in found.noise)


@pytest.mark.parametrize("side", ["base", "head"])
def test_one_side_that_never_settles_is_not_the_machines_fault(side: str) -> None:
    """Also where the other one fails to settle now and then; from more than half on it is the machine's."""

    def unsettled(of_other: int) -> Judgement:
        rounds = [
            replace(item, **{side: replace(getattr(item, side), settled=False)})
            for item in rounds_of(np.random.default_rng(12), 0.10)
        ]
        other = "base" if side == "head" else "head"
        for index in range(of_other):
            item = rounds[index]
            rounds[index] = replace(item, **{other: replace(getattr(item, other), settled=False)})
        return judge(rounds, Limits())

    found = unsettled(of_other=8)
    assert (found.verdict, found.noise) == (Verdict.FAIL, ())
    assert (
        f"the {side}'s frame times did not settle in 16 of 16 warm-ups, the other side's in 8"
        in found.told[0]
    )
    found = unsettled(of_other=9)
    assert found.verdict is Verdict.NOISY
    assert "frame times did not settle in 25 of 32 warm-ups" in found.noise
    assert found.told == ()


def _drifting(side: SideRound, share: float, *, later: bool) -> SideRound:
    """Every other turn takes so much longer: the later ones of each pair, or the earlier ones."""
    shifts = [1 + share if index % 2 == later else 1.0 for index in range(len(side.turns))]
    turns = tuple(
        Turn(tuple(ms * shift for ms in turn.frame_ms), turn.total_ms * shift)
        for turn, shift in zip(side.turns, shifts, strict=True)
    )
    return replace(side, turns=turns)


def test_sides_that_steadily_drift_apart_are_noise_however_narrow_the_interval() -> None:
    """The head's later turns take 8 % longer than its earlier ones in every round, the base's earlier ones:
    two equal sides would differ by 8 %, in an interval no wider than that of turns that do not drift."""
    rounds = rounds_of(np.random.default_rng(13), drift=0.0)
    apart = [
        replace(
            item, base=_drifting(item.base, 0.08, later=False), head=_drifting(item.head, 0.08, later=True)
        )
        for item in rounds
    ]
    steady, found = judge(rounds, Limits()), judge(apart, Limits())
    assert steady.noise == ()
    assert found.self_difference - steady.self_difference == pytest.approx(math.log(1.08), abs=0.01)
    assert found.verdict is Verdict.NOISY


@pytest.mark.parametrize("side", ["base", "head"])
def test_one_side_that_drifts_is_judged_and_told(side: str) -> None:
    """Both had the same machine: a change that makes every other turn 40 % slower gets its verdict."""
    rounds = rounds_of(np.random.default_rng(13), drift=0.0)
    drifting = [replace(item, **{side: _drifting(getattr(item, side), 0.4, later=True)}) for item in rounds]
    found = judge(drifting, Limits())
    assert found.noise == ()
    assert found.verdict is (Verdict.FAIL if side == "head" else Verdict.IMPROVED)
    (told,) = (words for words in found.told if "not the machine's" in words)
    assert told.startswith(f"the {side} differs from itself by up to 2")  # log(1.4) / sqrt(2) = 23.8 %
    assert found.own_differences[side == "head"] == pytest.approx(math.log(1.4) / math.sqrt(2), abs=0.03)
    assert found.own_differences[side == "base"] < Limits.noise


def test_an_erratic_head_that_is_slower_in_every_round_fails() -> None:
    """Half as slow again, with turns that scatter by 15 %; the base is steady."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rounds = [
            replace(item, head=_scattered(item.head, rng.normal(0, 0.15, len(item.head.turns))))
            for item in rounds_of(rng, 0.5, drift=0.005)
        ]
        found = judge(rounds, Limits())
        assert found.verdict is Verdict.FAIL
        assert any("the head differs from itself" in told for told in found.told)


def _scattered(side: SideRound, logs: np.ndarray[Any, np.dtype[np.float64]]) -> SideRound:
    turns = tuple(
        Turn(tuple(ms * shift for ms in turn.frame_ms), turn.total_ms * shift)
        for turn, shift in zip(side.turns, np.exp(logs), strict=True)
    )
    return replace(side, turns=turns)


def test_what_meets_both_sides_at_once_is_no_noise() -> None:
    """Every other turn of both takes 8 % longer: each differs from itself, their ratio does not."""
    rounds = [
        replace(
            item, base=_drifting(item.base, 0.08, later=True), head=_drifting(item.head, 0.08, later=True)
        )
        for item in rounds_of(np.random.default_rng(13), drift=0.0)
    ]
    found = judge(rounds, Limits())
    assert min(found.own_differences) > Limits.noise
    assert (found.verdict, found.noise) == (Verdict.PASS, ())


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
        assert Verdict.FAIL not in {_figure(found, what).verdict for what in ("median", "turn", "p95")}
        # Of 4 ms, and |t3| x 3 % of that, whose mean is 1.1 x 3 %.
        assert _figure(found, "total").estimate == pytest.approx(ms / every / 4.13, rel=0.15)
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
        Verdict.INCONCLUSIVE in {_figure(item, what).verdict for what in ("median", "turn")}
        for item in open_alone
    )
    assert sum(item.verdict is Verdict.PASS for item in found) >= 57
    wide = [item for item in found if _figure(item, "total").verdict is Verdict.INCONCLUSIVE]
    assert len(wide) >= 10, "stalls of that kind do make it wide"
    for item in wide:
        (told,) = (words for words in item.told if words.startswith("the total is not judged"))
        assert f"up to {_figure(item, 'total').high:.1%}, is not ruled out" in told


@pytest.mark.parametrize("figure", ["turn", "total"])
def test_quicker_medians_are_no_improvement_where_other_figures_rise(figure: str) -> None:
    """Frames take 5 % less; turns as a whole, or all of them together, 2 % more than the base's."""

    def worse(item: Round) -> Round:
        if figure == "turn":
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
    assert _figure(found, "median").verdict is Verdict.IMPROVED
    assert _figure(found, figure).verdict is Verdict.PASS
    assert _figure(found, figure).low > 0
    assert found.verdict is Verdict.PASS
    (told,) = (words for words in found.told if "shorter, but other figures rise" in words)
    assert f"{figure} +2.0%" in told


def test_a_side_that_works_between_its_turns_is_told() -> None:
    rounds = rounds_of(np.random.default_rng(23), drift=0.005, frame=0.02)
    assert judge(rounds, Limits()).told == ()
    busy = [replace(item, head=replace(item.head, idle_cores=0.9)) for item in rounds]
    (told,) = judge(busy, Limits()).told
    assert told == "the head uses 0.90 cores between its turns: that may slow the other side down"


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
    median = _figure(found, "median")
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
    assert _figure(found, "median").verdict is Verdict.PASS
    assert _figure(found, "miss rate").estimate == pytest.approx(0.04)
    assert found.verdict is Verdict.FAIL
    relaxed = judge(rounds, Limits(), deadline=100.0)
    assert _figure(relaxed, "miss rate").estimate == 0
    assert _figure(relaxed, "miss rate").verdict is Verdict.PASS


def test_late_work_that_takes_longer_fails_although_frames_do_not() -> None:
    """After each turn's last picture the head works on: 6 % of the turn more than the base."""

    def works_on(item: Round) -> Round:
        turns = tuple(replace(turn, total_ms=1.06 * turn.total_ms) for turn in item.head.turns)
        return replace(item, head=replace(item.head, turns=turns))

    equal = rounds_of(np.random.default_rng(14), drift=0.005, frame=0.02)
    assert judge(equal, Limits()).verdict is Verdict.PASS
    found = judge([works_on(item) for item in equal], Limits())
    assert _figure(found, "median") == _figure(judge(equal, Limits()), "median")
    assert _figure(found, "turn").estimate == pytest.approx(0.06, abs=0.01)
    assert found.verdict is Verdict.FAIL


def test_an_open_figure_leaves_the_verdict_open() -> None:
    """Turns' totals that scatter by 8 %, frame times that do not."""
    rng = np.random.default_rng(15)

    def scatters(item: Round) -> Round:
        turns = tuple(replace(t, total_ms=t.total_ms * (1 + rng.uniform(0, 0.4))) for t in item.head.turns)
        return replace(item, head=replace(item.head, turns=turns))

    rounds = [scatters(item) for item in rounds_of(rng, -0.17, drift=0.005, frame=0.02)]
    found = judge(rounds, Limits())
    assert _figure(found, "median").verdict is Verdict.IMPROVED
    assert _figure(found, "turn").verdict is Verdict.INCONCLUSIVE
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_deadline_that_is_not_judged_makes_no_pass() -> None:
    """Sixteen rounds of eight frames, none of them late: a share of 3 % cannot be ruled out."""
    rounds = rounds_of(np.random.default_rng(16), frames=2, drift=0.001, frame=0.001, process=0.001)
    assert judge(rounds, Limits()).verdict is Verdict.PASS
    found = judge(rounds, Limits(), deadline=8.0)
    assert _figure(found, "median").verdict is Verdict.PASS
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.told == (
        "the deadline is not judged: 128 frames a side do not rule out that 3% more of them are late",
    )
    enough = rounds_of(np.random.default_rng(16), frames=8, drift=0.001, frame=0.001, process=0.001)
    assert judge(enough, Limits(), deadline=8.0).verdict is Verdict.PASS


@pytest.mark.parametrize("side", ["base", "head"])
def test_a_side_whose_rounds_drift_is_told(side: str) -> None:
    """By 2 % from the first half of its turns to the second, in every round: no warm-up would see that."""

    def drifting(item: Round) -> Round:
        one = getattr(item, side)
        turns = tuple(
            Turn(tuple(ms * (1.0 if index >= 2 else 1.02) for ms in turn.frame_ms), turn.total_ms)
            for index, turn in enumerate(one.turns)
        )
        return replace(item, **{side: replace(one, turns=turns)})

    rounds = rounds_of(np.random.default_rng(17), drift=0.002, frame=0.02)
    assert judge(rounds, Limits()).told == ()
    (told,) = judge([drifting(item) for item in rounds], Limits()).told
    share, _, rest = told.removeprefix(f"the {side}'s frames take ").partition("% ")
    assert float(share) == pytest.approx(100 * (1 - 1 / 1.02), abs=0.5)
    assert rest == "less in the second half of a round: its warm-up goes on"


def test_a_p95_of_few_frames_is_shown_and_not_judged() -> None:
    found = judge(rounds_of(np.random.default_rng(9), frames=4), Limits())
    assert not _figure(found, "p95").decides
    assert _figure(judge(rounds_of(np.random.default_rng(9), frames=5), Limits()), "p95").decides


def _figure(found: Judgement, what: str) -> Any:
    (figure,) = (item for item in found.compared if item.what == what)
    return figure


@pytest.mark.parametrize(("confidence", "rounds"), [(0.95, 12), (0.99, 12), (0.9999, 15)])
def test_rounds_that_a_verdict_takes(confidence: float, rounds: int) -> None:
    """Twelve, or so many that 2^(1-n), the level of the widest interval, falls below 1 - confidence."""
    assert least_rounds(confidence) == rounds
    made = rounds_of(np.random.default_rng(10), count=rounds)
    judge(made, Limits(confidence=confidence))
    with pytest.raises(ValueError, match=f"{rounds - 1} rounds; a verdict takes {rounds}"):
        judge(made[:-1], Limits(confidence=confidence))


@pytest.mark.parametrize(
    "wrong",
    [
        {"least": 0.05},
        {"least": -0.1},
        {"confidence": 0.3},
        {"confidence": 1.0},
        {"miss_rate": 0.04},
        {"miss_ruled_out": 1.0},
    ],
)
def test_limits_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Limits(**wrong)

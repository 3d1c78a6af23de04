"""Verdicts on simulated rounds: what they say of equal sides, of slower ones, and of bad machines."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.simulated_rounds import rounds_of
from v2v_export.bench.host import HostSpan
from v2v_export.compare.rounds import Round, SideRound, Turn
from v2v_export.compare.verdict import Judgement, Limits, Verdict, judge, least_rounds


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


def test_a_side_that_works_between_its_turns_is_told() -> None:
    rounds = rounds_of(np.random.default_rng(23), drift=0.005, frame=0.02)
    assert judge(rounds, Limits()).told == ()
    busy = [replace(item, head=replace(item.head, idle_cores=0.9)) for item in rounds]
    (told,) = judge(busy, Limits()).told
    assert told == "the head uses 0.90 cores between its turns: that may slow the other side down"


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

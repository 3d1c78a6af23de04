"""The operating points' script: what it keeps, what it claims, how it searches, and that it slows frames."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import operating_points
import pytest
from _points import slowed_worker
from _points.record import FULL, Outcome, Points, catches, hopeless, misses, summary
from rich.console import Console
from v2v_runtime.bench_worker import Player

ONE = Outcome(0.05, 0, "FAIL", 0.05, 0.03, 0.07, 12, False, 30.0, 0.01)


def points(*groups: tuple[float, str, int]) -> Points:
    """A record with so many verdicts at each slowdown."""
    made = Points.begin({"identity": "0" * 64})
    for slower, verdict, count in groups:
        made.outcomes += [replace(ONE, slower=slower, verdict=verdict, seed=seed) for seed in range(count)]
    return made


def test_a_record_is_read_back_and_holds_its_summary(tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    made = points((0.0, "PASS", 3), (0.05, "FAIL", 2), (0.05, "NOISY", 1))
    made.write(path)
    assert Points.read(path).outcomes == made.outcomes
    equal, slower = json.loads(path.read_text())["summary"]
    assert (equal["PASS"], equal["FAIL"], equal["comparisons"]) == (3, 0, 3)
    assert (slower["FAIL"], slower["NOISY"], slower["INCONCLUSIVE"]) == (2, 1, 0)
    path.write_text("{}")
    with pytest.raises(ValueError, match="no record"):
        Points.read(path)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([(0.0, "PASS", 39), (0.0, "FAIL", 1), (0.05, "FAIL", 34), (0.05, "INCONCLUSIVE", 6)], []),
        ([(0.0, "PASS", 38), (0.0, "FAIL", 2), (0.05, "FAIL", 40)], ["2 of 40 comparisons of equal sides"]),
        ([(0.0, "PASS", 40), (0.05, "FAIL", 33), (0.05, "NOISY", 7)], ["33 of 40 FAIL at +5.0%"]),
        ([(0.0, "PASS", 40), (0.05, "FAIL", 39), (0.05, "IMPROVED", 1)], ["or one is IMPROVED"]),
        ([(0.0, "PASS", 12), (0.05, "FAIL", 40)], ["12 of 40 comparisons at +0.0%"]),
    ],
)
def test_the_claims(groups: list[tuple[float, str, int]], words: list[str]) -> None:
    told = misses(points(*groups), 0.05)
    assert len(told) == len(words)
    assert all(word in line for word, line in zip(words, told, strict=True))


def test_a_comparison_that_takes_too_long_is_told() -> None:
    made = points((0.0, "PASS", FULL), (0.05, "FAIL", FULL))
    made.outcomes[3] = replace(made.outcomes[3], seconds=40.5)
    assert misses(made, 0.05) == ["a comparison at +0.0% took 40.5 s"]
    assert summary(made.at(0.0))["most_seconds"] == 40.5


def test_when_a_slowdown_is_given_up() -> None:
    """34 of 40: with 7 that have not failed, 33 are left."""
    assert not hopeless([replace(ONE, verdict="NOISY")] * 6, FULL)
    assert hopeless([replace(ONE, verdict="NOISY")] * 7, FULL)
    assert catches([ONE] * 34 + [replace(ONE, verdict="PASS")] * 6)
    assert not catches([ONE] * 33 + [replace(ONE, verdict="PASS")] * 7)


class Machine:
    """One on which every slowdown from ``least`` on is found, and counts what it was asked."""

    def __init__(self, least: float) -> None:
        self.least, self.asked = least, 0

    def compare(self, slower: float, seed: int) -> Outcome:
        self.asked += 1
        return replace(
            ONE, slower=slower, seed=seed, verdict="FAIL" if slower >= self.least else "INCONCLUSIVE"
        )


def run_on(machine: Machine, path: Path, count: int = FULL) -> operating_points.Run:
    known = Points.read(path) if path.exists() else points()
    return operating_points.Run(known, path, count, machine.compare, Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("least", "found"), [(0.05, 0.05), (0.041, 0.045), (0.01, 0.035), (0.074, 0.075), (0.9, None)]
)
def test_the_smallest_slowdown_is_sought(
    tmp_path: Path, least: float, found: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Points, "write", lambda self, path: None)  # hundreds of times, each to the disk
    assert run_on(Machine(least), tmp_path / "p.json").find(0.05) == found


def test_ended_comparisons_are_not_played_again(tmp_path: Path) -> None:
    first, second = Machine(0.05), Machine(0.05)
    run_on(first, tmp_path / "p.json", count=3).at(0.05)
    assert len(run_on(second, tmp_path / "p.json").at(0.05)) == FULL
    assert (first.asked, second.asked) == (3, FULL - 3)
    assert [one.seed for one in Points.read(tmp_path / "p.json").outcomes] == list(range(FULL))


def test_frames_are_slower_by_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that moves by 1000 at each look and by 100000 in a frame."""
    now = 0

    def clock() -> int:
        nonlocal now
        now += 1000
        return now

    def push(self: Player) -> None:
        nonlocal now
        now += 100_000

    monkeypatch.setattr(slowed_worker.time, "perf_counter_ns", clock)
    monkeypatch.setattr(Player, "push", push)
    taken = {}
    for share in (0.0, 0.05, 0.5):
        kind = slowed_worker.slowed(share)
        before = now
        kind.push(kind.__new__(kind))
        taken[share] = now - before
    # Looks cost 1000: one before the frame, one behind it, and one at least to see that it is time.
    assert taken[0.0] == pytest.approx(103_000, abs=1000)
    assert taken[0.05] == pytest.approx(101_000 * 1.05 + 1000, abs=1500)
    assert taken[0.5] == pytest.approx(101_000 * 1.5 + 1000, abs=1500)


def test_the_committed_record_keeps_what_is_claimed_of_it() -> None:
    assert misses(Points.read(operating_points.RECORD), 0.05) == []

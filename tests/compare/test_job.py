"""Comparisons with workers that make their times up: the protocol, the rounds, and every way to break off."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Container
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from v2v_export.bench import host
from v2v_export.compare import CompareJob, Limits, Verdict, run_compare, side
from v2v_export.compare.page import cases, write_page
from v2v_export.compare.rounds import Pace, play_round, round_cycles, shared_frames, turn_frames
from v2v_export.errors import V2VError
from v2v_export.progress import SilentProgress

FAKE = Path(__file__).with_name("fake_worker.py")
QUICK = Pace(cycles=1, turn_seconds=0.05)
NO_LOAD = Limits(foreign=1e9)
"""Tests share the machine with others."""


def worker(name: str, **says: Any) -> Callable[[Path | None], list[str]]:
    return lambda clip: [sys.executable, "-S", str(FAKE), json.dumps({"name": name, **says})]


def compare(base: dict[str, Any], head: dict[str, Any], **more: Any) -> Any:
    more = {"rounds": 12, "pace": QUICK, "limits": NO_LOAD, **more}
    job = CompareJob(worker("base", **base), worker("head", **head), **more)
    return run_compare(job, SilentProgress())


def test_a_slower_head_fails_and_the_report_says_by_how_much(tmp_path: Path) -> None:
    count = str(tmp_path / "count")
    quiet = {"count": count, "process_noise": 0.002}
    report = compare(quiet, {"slower": 0.06, **quiet}, out=tmp_path / "report.json")
    assert report.verdict is Verdict.FAIL
    assert not report.passed
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["complete"]
    assert told["verdict"] == "FAIL"
    assert told["judgement"]["compared"][0]["estimate"] == pytest.approx(0.06, abs=0.01)
    assert len(told["rounds"]) == 12
    assert {order for item in told["rounds"] for order in item["order"]} == {"ABBA", "BAAB"}
    assert "head head" in report.lines()[0]


def test_each_round_is_two_fresh_processes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    compare({"log": str(log)}, {"log": str(log)})
    started = [line.split() for line in log.read_text().splitlines()]
    assert sorted(name for name, _ in started) == ["base"] * 12 + ["head"] * 12
    assert len({pid for _, pid in started}) == 24


def test_the_seed_decides_who_begins() -> None:
    orders = [[item.order for item in compare({}, {}, seed=seed).rounds] for seed in (1, 1, 2)]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


def test_a_late_call_that_became_slower_fails(tmp_path: Path) -> None:
    """Pictures come as soon as before; what goes on after a turn's last one takes 4 ms more of 52."""
    quiet = {"count": str(tmp_path / "count"), "process_noise": 0.002, "late_ms": 1.0}
    report = compare(quiet, {**quiet, "late_ms": 5.0})
    median, turn, *_ = report.judgement.compared
    assert (median.what, median.verdict) == ("median", Verdict.PASS)
    assert turn.what == "turn"
    assert turn.estimate == pytest.approx(4.0 / 53.5, abs=0.01)
    assert report.verdict is Verdict.FAIL


@pytest.mark.parametrize("quicker", ["base", "head"])
def test_a_start_that_takes_longer_on_one_side_makes_no_difference(quicker: str) -> None:
    """Period 4: 50 ms hold 16 frames of 4 ms, and 12 of the 5.6 that the other side takes to warm up. With
    4 ms of work after a turn, 16 and 12 frames would differ by 2 %."""
    same = {"period": 4, "late_ms": 4.0, "noise": 0.0}
    longer = {**same, "warm_share": 1.4}
    report = compare(*((same, longer) if quicker == "base" else (longer, same)))
    (item, *_) = report.rounds
    assert {len(turn.frame_ms) for side in (item.base, item.head) for turn in side.turns} == {16}
    assert _estimate(report, "turn") == pytest.approx(0, abs=1e-6)
    assert report.verdict is Verdict.PASS


def _estimate(report: Any, what: str) -> float:
    (estimate,) = (item.estimate for item in report.judgement.compared if item.what == what)
    return float(estimate)


@pytest.mark.parametrize(
    ("own", "larger", "period", "frames"),
    [(12, 16, 4, 16), (16, 16, 4, 16), (12, 16, 5, 20), (2, 80, 1, 4), (3, 80, 3, 6)],
)
def test_frames_of_a_turn_that_both_sides_share(own: int, larger: int, period: int, frames: int) -> None:
    """Of a side that takes many times as long, twice its own."""
    assert shared_frames(own, larger, period) == frames


@pytest.mark.parametrize(("deadline", "frames"), [(None, 2 * 13), (8.0, 4 * 13)])
def test_a_deadline_makes_rounds_long_enough_to_judge_it(deadline: float | None, frames: int) -> None:
    """Turns of 50 ms hold 13 frames of 4 ms; fifty of them take two cycles."""
    (item, *_) = compare({}, {}, deadline=deadline).rounds
    assert item.base.frames == item.head.frames == frames
    assert len(item.order) == frames // 26


def test_an_inconclusive_comparison_adds_as_many_rounds_once(tmp_path: Path) -> None:
    wide = {"process_noise": 0.08, "count": str(tmp_path / "count"), "seed": 4}
    report = compare(wide, wide)
    assert report.extended
    assert len(report.rounds) == 24


def disturbing(monkeypatch: pytest.MonkeyPatch, rounds: Container[int]) -> None:
    """Has the host tell of 100 seconds of others' work in the rounds of these numbers, from 0 on."""
    looks, told = itertools.count(), 0.0

    def busy() -> float:
        nonlocal told
        look = next(looks)  # two a round: when it begins and when it ends
        told += 100.0 if look % 2 and look // 2 in rounds else 0.0
        return told

    monkeypatch.setattr(host, "busy_seconds", busy)


def test_rounds_under_load_are_played_again_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three of twelve: three more are played, and the twelve that were quiet are judged."""
    disturbing(monkeypatch, (1, 4, 5))
    quiet = {"count": str(tmp_path / "count"), "process_noise": 0.002}
    report = compare(quiet, {"slower": 0.06, **quiet}, limits=Limits(), out=tmp_path / "report.json")
    assert report.verdict is Verdict.FAIL
    assert len(report.rounds) == 12 + 3
    assert not report.extended
    assert (report.judgement.rounds, report.judgement.set_aside) == (12, 3)
    told = json.loads((tmp_path / "report.json").read_text())
    assert [index for index, item in enumerate(told["rounds"]) if item["disturbed"]] == [1, 4, 5]
    assert "15 rounds, 3 of them set aside: other processes worked" in report.lines()[-1]


def test_added_rounds_that_get_longer_end_in_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By a clock that only rounds move: twelve of one second, then of ten. Of the 12 that were to be added in
    25 seconds one is played; the next would end after 32."""
    now, lasting = 0.0, itertools.chain(itertools.repeat(1.0, 12), itertools.repeat(10.0))
    play = play_round

    def played(*words: Any) -> Any:
        nonlocal now
        now += next(lasting)
        return play(*words)

    monkeypatch.setattr("v2v_export.compare.job.play_round", played)
    monkeypatch.setattr("v2v_export.compare.job.time", SimpleNamespace(perf_counter=lambda: now))
    wide = {"process_noise": 0.08, "count": str(tmp_path / "count"), "seed": 4}
    report = compare(wide, wide, most_seconds=25.0)
    assert report.extended
    assert len(report.rounds) == 13
    assert report.seconds == 22.0


def test_work_between_turns_is_the_sides_own_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that burns a core while it waits: nobody else's work, so no NOISY; it is told in words."""
    used = itertools.count()

    def seconds(leaders: list[int]) -> dict[int, float]:
        look = next(used)  # before and after a round
        return dict(zip(leaders, (0.0, 500.0 * (look % 2)), strict=True))

    monkeypatch.setattr("v2v_export.compare.rounds.session_seconds", seconds)
    disturbing(monkeypatch, range(100))
    report = compare({}, {"slower": 0.5}, limits=Limits(), pace=QUICK)
    assert not any(item.host.foreign for item in report.rounds)
    assert report.verdict is Verdict.FAIL
    assert any("cores between its turns" in told and "the head" in told for told in report.judgement.told)
    assert report.as_dict()["rounds"][0]["head"]["idle_cores"] > 1


def test_a_machine_that_is_never_quiet_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    disturbing(monkeypatch, range(100))
    report = compare({}, {"slower": 0.5}, limits=Limits())
    assert report.verdict is Verdict.NOISY
    assert len(report.rounds) == 12


@pytest.mark.parametrize(
    ("rounds", "load", "played"),
    [
        (20, (), 12),
        (20, (1,), 13),
        (20, (1, 12), 14),
        (20, range(6), 18),
        (20, range(7), 12),
        (14, (1, 2, 3), 15),
        (12, (1,), 13),
        (12, (1, 12), 13),
    ],
)
def test_without_time_a_verdict_still_gets_its_twelve_rounds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rounds: int, load: Container[int], played: int
) -> None:
    """Disturbed ones are made up for while they are not most; when all were played, once."""
    disturbing(monkeypatch, load)
    quiet = {"count": str(tmp_path / "count"), "process_noise": 0.002}
    report = compare(quiet, {"slower": 0.06, **quiet}, limits=Limits(), rounds=rounds, most_seconds=1e-9)
    assert len(report.rounds) == played
    clean = sum(index not in load for index in range(played))
    assert report.verdict is (Verdict.FAIL if clean >= 12 else Verdict.NOISY)


@pytest.mark.parametrize(("most", "rounds"), [(None, 15), (1e9, 15), (1e-9, 12)])
def test_the_first_rounds_end_early_once_twelve_are_played(most: float | None, rounds: int) -> None:
    report = compare({}, {}, rounds=15, most_seconds=most)
    assert report.complete
    assert len(report.rounds) == rounds


@pytest.mark.parametrize("more", [{"system": "other"}, {"height": 32}, {"output_height": 32}])
def test_sides_that_do_different_work_are_refused(more: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(V2VError, match="V2V-E8206") as error:
        compare({}, more, out=tmp_path / "report.json")
    what = {"system": "system: fake and other", "height": "frames: 24 x 16 and 24 x 32"}
    what["output_height"] = "pictures: 24 x 16 and 24 x 32"
    assert what[next(iter(more))] in str(error.value)
    assert not (tmp_path / "report.json").exists()


@pytest.mark.parametrize(
    ("says", "code", "words"),
    [
        ({"protocol": 2}, "E8202", "protocol 2"),
        ({"dies_at": "play"}, "E8203", "out of luck"),
        ({"silent": True}, "E8203", "ended"),
        ({"leaves_out": ["target", "output_width"]}, "E8202", "hello has no target, output_width"),
        ({"stands_still_at": "warm"}, "E8203", "not whole nanoseconds above 0"),
        ({"stands_still_at": "play"}, "E8203", "not whole nanoseconds above 0"),
        ({"forgets_at": "warm"}, "E8203", "left frames, settled out"),
        ({"forgets_at": "play"}, "E8203", "left total_ns, cpu_ns out"),
        ({"period": 0}, "E8202", "hello says period 0"),
        ({"height": "16"}, "E8202", "hello says height '16'"),
        ({"target": None}, "E8202", "hello says target None"),
        ({"says": '{"error": "no luck"}'}, "E8203", "the worker no luck"),
        ({"total_ns": 5}, "E8203", "less time for a turn than for its frames"),
    ],
)
def test_a_worker_that_breaks_off_is_told(says: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(V2VError) as error:
        compare({}, says)
    assert error.value.code == f"V2V-{code}"
    assert words in str(error.value)


def test_a_run_that_dies_leaves_no_report_of_an_earlier_one(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    out.write_text('{"complete": true, "verdict": "PASS"}')
    with pytest.raises(V2VError, match="V2V-E8203"):
        compare({}, {"dies_at": "play"}, out=out)
    assert not out.exists()


def test_two_targets_are_told_beside_the_times(tmp_path: Path) -> None:
    report = compare({}, {"target": "rtx4090.tensorrt"})
    assert report.lines()[0].endswith("; head on rtx4090.tensorrt, base on cpu.onnxruntime")
    write_page(tmp_path / "page.html", report)
    assert (
        "head on rtx4090.tensorrt, base on cpu.onnxruntime, 24 x 16" in (tmp_path / "page.html").read_text()
    )


def test_other_counters_fail_whatever_the_times_say(tmp_path: Path) -> None:
    """In the verdict, in the kept file and on the page; not in the latency's own case."""
    change = "program: calls_per_period was 2, is 1 (-1, -50.0%)"
    loose = Limits(foreign=1e9, noise=1e9, fail=0.99, least=0.9)
    out, page = tmp_path / "report.json", tmp_path / "page.html"
    report = compare({}, {}, counters=(change,), out=out, limits=loose)
    assert report.verdict is Verdict.FAIL
    assert not report.passed
    told = json.loads(out.read_text())
    assert (told["verdict"], told["passed"], told["counters"]) == ("FAIL", False, [change])
    write_page(page, report)
    assert change in page.read_text()
    latency, counters = cases(report)
    assert (latency.failure, counters.failure) == (None, change)
    assert replace(report, counters=()).passed
    assert len(cases(replace(report, counters=None))) == 1


def test_a_worker_that_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side, "ANSWER_SECONDS", 0.5)
    with pytest.raises(V2VError, match="V2V-E8204"):
        compare({}, {"hangs_at": "warm"})


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(V2VError, match="V2V-E8201"):
        run_compare(CompareJob(lambda clip: ["/nowhere/python"], worker("head")), SilentProgress())


def test_too_few_rounds_for_the_confidence() -> None:
    with pytest.raises(V2VError, match="V2V-E8205"):
        compare({}, {}, rounds=11)


def test_an_interrupted_comparison_keeps_its_rounds_and_says_so(tmp_path: Path) -> None:
    """Ctrl-C when three rounds are on disk: the file stays whole, is marked, and no worker is left."""
    out, log = tmp_path / "report.json", tmp_path / "log"
    script = f"""
    import json, sys
    from pathlib import Path
    sys.path.insert(0, {str(FAKE.parent)!r})
    from test_job import CompareJob, QUICK, SilentProgress, run_compare, worker
    says = {{"log": {str(log)!r}}}
    sides = worker("base", **says), worker("head", **says)
    run_compare(CompareJob(*sides, rounds=100, pace=QUICK, out=Path({str(out)!r})), SilentProgress())
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE, text=True
    )
    while not (out.exists() and len(json.loads(out.read_text())["rounds"]) >= 3):
        assert process.poll() is None, process.communicate()[1]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    told = json.loads(out.read_text())
    assert (told["complete"], told["passed"]) == (False, None)
    assert 3 <= len(told["rounds"]) < 100
    # One that was just being started sees its input end, and ends by itself.
    waited = time.monotonic() + 30
    while alive := [pid for pid in log.read_text().split()[1::2] if _is_worker(pid)]:
        assert time.monotonic() < waited, f"workers outlived the comparison: {alive}"
        time.sleep(0.05)


def _is_worker(pid: str) -> bool:
    try:
        return FAKE.name.encode() in Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return False


def test_a_turn_is_whole_periods_of_about_the_time_asked_for() -> None:
    """4 ms a frame, period 3, 0.2 s: 50 frames, so 51; a frame of a second still plays 3 periods."""
    assert turn_frames(0.004, 3, Pace(turn_seconds=0.2)) == 51
    assert turn_frames(1.0, 3, Pace(turn_seconds=0.2, least_periods=3)) == 9


@pytest.mark.parametrize(
    ("frames", "turn_seconds", "least", "cycles"),
    [
        (12, 0.04, 0, 5),
        (12, 0.04, 50, 5),
        (2, 0.06, 50, 13),
        (1, 0.045, 50, 22),
        (1, 0.5, 50, 5),
        (1, 0.0, 4, 5),
    ],
)
def test_cycles_of_a_round(frames: int, turn_seconds: float, least: int, cycles: int) -> None:
    """As many as hold the frames: 13 of 2 x 2; of 25 of 2 x 1 two seconds of turns have room for 22."""
    assert round_cycles(frames, turn_seconds, Pace(least_frames=least)) == cycles

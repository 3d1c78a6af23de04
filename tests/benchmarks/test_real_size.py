"""The judgement of ``benchmarks/real_size.py``: what it calls met, missed or unclear, from which frames."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from _real import parity
from _real.case import Case
from _real.findings import Finding, Part, verdicts
from _real.operators import mean_times
from _real.played import summary
from _real.ratios import block_means, kind_medians, time_ratio
from _real.workshop import Workshop
from v2v_export.bench.interleave import Track
from v2v_export.progress import SilentProgress
from v2v_export.verify.compare import Difference, Kind, Tolerance
from v2v_export.verify.steps import StepCheck


class TestFindings:
    @pytest.mark.parametrize(
        ("measured", "sense", "met"),
        [
            (0.33, "at most", True),
            (0.331, "at most", False),
            (1.6, "at least", True),
            (1.59, "at least", False),
            (math.inf, "at most", False),
            (math.inf, "at least", False),
            (math.nan, "at most", False),
        ],
    )
    def test_limits(self, measured: float, sense: Any, met: bool) -> None:
        limit = 0.33 if sense == "at most" else 1.6
        assert Finding("", measured, limit, sense).met is met

    def test_an_interval_around_the_limit_is_inconclusive(self) -> None:
        assert Finding("", 0.3, 0.33, interval=(0.28, 0.35)).verdict() == "met, INCONCLUSIVE"
        assert Finding("", 0.3, 0.33, interval=(0.28, 0.32)).verdict() == "met"
        assert Finding("", 0.4, 0.33, interval=(0.38, 0.42)).verdict() == "MISSED"

    def test_a_part_with_one_miss_is_missed_and_told_as_json(self) -> None:
        part = Part([Finding("good", 1, 2), Finding("lost", math.inf, 2)])
        assert not part.met
        told = json.loads(json.dumps(part.as_dict(), allow_nan=False))
        assert [item["met"] for item in told["findings"]] == [True, False]
        assert told["findings"][1]["measured"] is None
        assert verdicts({"part": part}).row_count == 2


class TestRatios:
    CASE = Case(interval=3)

    def test_a_ratio_of_times(self) -> None:
        found = time_ratio("slow", [2.0, 4.0, 2.2, 2.0, 2.0, 2.0], "quick", [1.0, 2.0, 1.1, 1.0, 1.0, 1.0])
        assert (found.of, found.over) == ("slow", "quick")
        assert found.estimate == pytest.approx(2)
        assert found.low == pytest.approx(2)

    # Nine frames warm up, so those measured are 9 to 14 and 15 to 20; multiples of 3 are full or refresh.
    def test_frames_of_the_teacher_schedule(self) -> None:
        track = Track([0.9, 0.1, 0.2] * 4)
        assert block_means(self.CASE, "teacher", "shortcut", track) == pytest.approx([0.15, 0.15])
        assert kind_medians(self.CASE, "teacher", track)["full"] == pytest.approx(900)

    def test_frames_of_the_shortcut_schedule(self) -> None:
        track = Track([0.3, 0.9, 0.1, 0.3, 0.9, 0.1, 0.4, 0.8, 0.2, 0.4, 0.8, 0.2])
        assert block_means(self.CASE, "shortcut", "shortcut", track) == pytest.approx([0.1, 0.2])
        medians = kind_medians(self.CASE, "shortcut", track)
        assert medians["shortcut, refresh follows"] == pytest.approx(350)
        assert medians["shortcut, waits for the refresh"] == pytest.approx(850)


def check(frame: int, failed: str = "", **largest: tuple[Kind, float]) -> StepCheck:
    """A step whose tensors of graph ``g`` were off by that much."""
    differences = tuple(
        ("g", Difference(name, kind, value, 1.0, (0,), "", "")) for name, (kind, value) in largest.items()
    )
    return StepCheck(frame, "stream", frame, differences, failed)


class TestSummary:
    GOOD = check(0, out_float=("picture", 1e-6), out=("levels", 1.0), z=("feature", 2e-6))

    def test_takes_the_largest_of_each_kind(self) -> None:
        later = check(1, out_float=("picture", 3e-6), out=("levels", 0.0), z=("feature", 1e-6))
        found = summary([self.GOOD, later], 2, 0.1)
        assert (found.tap, found.levels, found.state, found.worst_frame) == (3e-6, 1.0, 2e-6, 1)
        assert found.by_graph == {"g": {"out_float": 3e-6, "out": 1.0, "z": 2e-6}}
        assert found.whole

    def test_a_frame_without_its_float_picture_was_not_compared(self) -> None:
        found = summary([self.GOOD, check(1, out=("levels", 0.0))], 2, 0.1)
        assert (found.frames, found.whole) == (1, False)

    def test_a_stream_that_ends_early_or_fails_is_not_whole(self) -> None:
        assert not summary([self.GOOD], 2, 0.1).whole
        assert summary([self.GOOD, check(1, failed="V2V-E3020")], 2, 0.1).failed == "V2V-E3020"

    def test_a_wrong_count_of_frames_is_a_miss(self) -> None:
        wrong = check(0, out_float=("picture", 0.0), out=("levels", 0.0), emitted=("exact", 1.0))
        assert summary([wrong], 1, 0.1).tap == 1.0


def test_operators_are_counted_after_the_first_runs() -> None:
    def run(conv: int, other: int) -> list[dict[str, Any]]:
        times = {"c1": ("Conv", conv), "c2": ("Conv", conv), "a": ("Add", other)}
        return [
            {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur, "args": {"op_name": operator}}
            for name, (operator, dur) in times.items()
        ] + [{"cat": "Session", "name": "model_run", "dur": 10**6}]

    events = [event for conv in (10**6, 10**6, *[500] * 8) for event in run(conv, 100)]
    assert mean_times(events) == pytest.approx({"Conv": 1.0, "Add": 0.1})


def test_parity_passes_at_a_small_size_and_misses_what_is_too_strict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "FORMS", ("deformconv",))
    monkeypatch.setattr(parity, "SCHEDULES", ("shortcut",))
    case = Case(height=32, width=48, ngf=8, n_blocks=1, hidden=8, frames=9, threads=1)
    shop = Workshop(case, tmp_path, SilentProgress())
    part = parity.run(shop)
    assert part.met, part.findings
    (stream,) = part.details["streams"]
    assert stream["free_running"]["frames"] == 9
    assert stream["teacher_forced"]["frames"] == 8
    assert {"full", "shortcut", "refresh"} <= set(stream["teacher_forced"]["by_graph"])
    # Two ways to compute the same thing do not agree to the last bit.
    monkeypatch.setattr(parity, "TOLERANCE", Tolerance(picture=0.0, levels=1))
    assert not parity.run(shop).met

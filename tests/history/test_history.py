"""History files that are whole, cut, foreign or newer; and levels that are known."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from v2v_export.bench.interleave import Track
from v2v_export.bench.statistics import Latency
from v2v_export.errors import V2VError
from v2v_export.history import Record, append, read_history, trend

RUN = Record(
    time="2026-01-02T03:04:05+00:00",
    machine="abc",
    bundle="small",
    target="cpu.onnxruntime",
    identity="0" * 64,
    conditions={"clip": "24 frames, sha256 ab", "sides": "stream", "turns": "10 of 10 frames"},
    turn=4.0,
    p50=4.0,
    p95=5.0,
    mean=4.2,
    frames=100,
    versions={"onnxruntime": "1.31.1"},
)


def runs(levels: list[tuple[int, float]], noise: float = 0.01, seed: int = 0) -> list[Record]:
    rng = np.random.default_rng(seed)
    return [
        replace(RUN, turn=float(level * np.exp(rng.normal(0, noise))), commit=f"c{count}-{index}")
        for count, level in levels
        for index in range(count)
    ]


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    later = replace(RUN, turn=4.5, commit="deadbeef")
    noisy = replace(RUN, p95=None, frames=99, noise=("other processes use 1.20 cores (limit 0.25)",))
    assert append(path, RUN) == [RUN]
    assert append(path, later) == [RUN, later]
    assert append(path, noisy) == [RUN, later, noisy]
    assert read_history(path) == [RUN, later, noisy]
    assert json.loads(path.read_text().splitlines()[-1])["p95"] is None


def test_a_95th_percentile_of_few_frames_is_no_record() -> None:
    with pytest.raises(ValueError, match=r"p95 = 5\.0 of 99 frames, it needs 100"):
        replace(RUN, frames=99)


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (lambda text: text[:-20], "E8212", "ends in mid-line"),
        (lambda text: "nonsense\n" + text, "E8212", "line 1"),
        (lambda text: text + "{}\n", "E8212", "line 3"),
        (lambda text: text.replace('"turn": 4.0', '"turn": -4.0'), "E8212", "turn = -4.0"),
        (lambda text: text.replace('"turn": 4.0', '"turn": -4'), "E8212", "turn = -4"),
        (lambda text: text.replace('"turn": 4.0', '"turn": NaN'), "E8212", "turn = nan"),
        (lambda text: text.replace('"turn": 4.0', '"turn": "fast"'), "E8212", "turn = 'fast'"),
        (lambda text: text.replace('"turn": 4.0', '"turn": null'), "E8212", "turn = None"),
        (lambda text: text.replace('"frames": 100', '"frames": 99'), "E8212", "p95 = 5.0 of 99 frames"),
        (lambda text: text.replace('"noise": []', '"noise": "load"'), "E8212", "noise = 'load'"),
        (lambda text: text.replace('"noise": []', '"noise": [1]'), "E8212", "noise = (1,)"),
        (lambda text: text.replace('"24 frames, sha256 ab"', "24"), "E8212", "conditions"),
        (lambda text: text.replace('"frames": 100, ', ""), "E8212", "frames"),
        (lambda text: text.replace('"1.31.1"', "7"), "E8212", "versions"),
        (lambda text: text.replace("v2v.history/3", "v2v.history/x"), "E8212", "no run"),
        (lambda text: text.replace("v2v.history/3", "v2v.history/4"), "E8213", "update v2v-export"),
        (lambda text: text.replace("v2v.history/3", "v2v.history/2"), "E8213", "name another file"),
    ],
)
def test_a_damaged_or_newer_file_is_refused_and_left_alone(
    tmp_path: Path, damage: object, code: str, words: str
) -> None:
    path = tmp_path / "history.jsonl"
    append(path, RUN)
    append(path, RUN)
    assert callable(damage)
    path.write_text(damage(path.read_text()))
    before = path.read_bytes()
    for attempt in (lambda: read_history(path), lambda: append(path, RUN)):
        with pytest.raises(V2VError, match=code) as error:
            attempt()
        assert words in str(error.value)
    assert path.read_bytes() == before


def test_a_folder_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(V2VError, match="E8211"):
        read_history(tmp_path)
    with pytest.raises(V2VError, match="E8211"):
        append(tmp_path / "none" / "history.jsonl", RUN)


def test_two_processes_append_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    script = (
        "import sys; from pathlib import Path; from v2v_export.history import Record, append; "
        f"r = Record(**{ {name: getattr(RUN, name) for name in RUN.__dataclass_fields__}!r}); "
        "[append(Path(sys.argv[1]), r) for _ in range(20)]"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(path)]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(read_history(path)) == 40
    assert all(json.loads(line)["schema"] == "v2v.history/3" for line in path.read_text().splitlines())


def test_a_step_is_found_where_it_is() -> None:
    found = trend(runs([(12, 4.0), (10, 4.4)]), RUN)
    assert [(level.first, level.last) for level in found.levels] == [(0, 11), (12, 21)]
    assert found.levels[0].turn == pytest.approx(4.0, rel=0.01)
    (change,) = found.changes
    assert "4.0" in change
    assert "(c10-0)" in change
    assert "+" in change


def test_noise_alone_has_one_level() -> None:
    changes = [len(trend(runs([(30, 4.0)], 0.02, seed), RUN).levels) for seed in range(20)]
    assert sum(count > 1 for count in changes) <= 1


def test_there_and_back_is_two_changes() -> None:
    found = trend(runs([(8, 4.0), (8, 5.0), (8, 4.0)]), RUN)
    assert [level.first for level in found.levels] == [0, 8, 16]


def test_one_odd_run_is_no_level() -> None:
    records = runs([(20, 4.0)])
    records[7] = replace(records[7], turn=6.0)
    assert len(trend(records, RUN).levels) == 1


def test_other_machines_bundles_and_targets_are_other_trends() -> None:
    records = [RUN, replace(RUN, machine="x"), replace(RUN, bundle="y"), replace(RUN, target="z.onnxruntime")]
    found = trend(records, RUN)
    assert found.runs == (RUN,)
    assert found.apart == [], "each has a trend of its own"


def test_runs_that_were_measured_otherwise_are_left_out_and_counted() -> None:
    """A run of twice the time is no slowdown where it played another clip, beside other sides or in longer
    turns, or where the older one does not say."""
    slow = replace(RUN, turn=8.0)
    others = {"clip": "9 frames, sha256 cd", "sides": "stream, full teacher", "turns": "10 of 50 frames"}
    records = [
        replace(slow, conditions={**RUN.conditions, name: other})
        for name, other in others.items()
        for _ in range(6)
    ]
    records += [replace(slow, conditions={}), replace(slow, machine="x", conditions={})]
    records += [replace(RUN, commit=f"c{index}") for index in range(6)]
    found = trend(records, records[-1])
    assert [run.commit for run in found.every] == [f"c{index}" for index in range(6)]
    assert found.changes == []
    assert found.others == {"clip": 7, "sides": 7, "turns": 7}
    assert found.apart == [
        "measured otherwise, and not compared with: other clip (7 runs), sides (7 runs), turns (7 runs)"
    ]


def test_another_deadline_commit_identity_or_version_is_no_other_trend() -> None:
    later = replace(RUN, commit="c1", identity="1" * 64, versions={"onnxruntime": "1.32.0"}, frames=102)
    assert trend([RUN, later], later).runs == (RUN, later)


def test_runs_under_load_are_kept_and_make_no_level() -> None:
    """Eight quiet runs of 4 ms and eight disturbed ones of 8: a step if they counted."""
    load = ("other processes use 1.20 cores (limit 0.25)",)
    quiet = [replace(RUN, commit=f"q{index}") for index in range(8)]
    noisy = [replace(RUN, turn=8.0, commit=f"n{index}", noise=load) for index in range(8)]
    found = trend([*quiet, *noisy], noisy[-1])
    assert found.runs == tuple(quiet)
    assert found.every == (*quiet, *noisy)
    assert [(level.first, level.last, level.turn) for level in found.levels] == [(0, 7, pytest.approx(4.0))]
    assert found.apart == [
        f"this run is NOISY, kept and no part of the trend: {load[0]}",
        "NOISY and no part of the trend: 7 earlier runs",
    ]
    told = found.as_dict()
    assert [run["commit"] for run in told["noisy"]] == [f"n{index}" for index in range(8)]
    assert len(told["runs"]) == 8
    mixed = [run for pair in zip(quiet, noisy, strict=True) for run in pair]
    later = [replace(RUN, turn=5.0, commit=f"l{index}") for index in range(8)]
    (change,) = trend([*mixed, *later], later[-1]).changes
    assert "(l0)" in change, "levels count quiet runs only"


def test_a_first_run_under_load_has_no_level() -> None:
    noisy = replace(RUN, noise=("other processes use 1.20 cores (limit 0.25)",))
    assert trend([noisy], noisy).levels == ()


def test_work_on_every_third_frame_is_a_step() -> None:
    """Period 3: the median of frames is that of the two quick ones, whatever the third one takes."""
    quick, slow = [4.0, 4.0, 8.0], [4.0, 4.0, 16.0]
    made = []
    for frames in (quick, slow):
        track = Track(block_means=[sum(frames) / 3e3] * 10)
        latency = Latency.of([value / 1e3 for value in frames * 34], 1.0)
        made += [replace(RUN, turn=1e3 * track.turn, p50=latency.p50, mean=latency.mean)] * 8
    found = trend(made, RUN)
    assert {run.p50 for run in made} == {4.0}
    assert [(level.first, level.turn) for level in found.levels] == [
        (0, pytest.approx(16 / 3)),
        (8, pytest.approx(8.0)),
    ]


def test_few_runs_have_one_level() -> None:
    assert len(trend([RUN], RUN).levels) == 1
    assert len(trend(runs([(2, 4.0), (2, 8.0)]), RUN).levels) == 1


def test_a_change_names_the_versions_that_came_with_it() -> None:
    found = runs([(12, 4.0), (10, 4.4)])
    for index, run in enumerate(found):
        version = "1.32.0" if index >= 12 else "1.31.1"
        found[index] = replace(run, versions={"onnxruntime": version, "numpy": "2.4.6"})
    found[15] = replace(found[15], versions={"onnxruntime": "1.33.0"})
    (change,) = trend(found, RUN).changes
    assert change.endswith(", with onnxruntime 1.31.1 -> 1.32.0")
    found[12] = replace(found[12], versions={"numpy": "2.4.6", "torch": "2.13.0"})
    (change,) = trend(found, RUN).changes
    assert change.endswith(", with onnxruntime 1.31.1 -> none, torch none -> 2.13.0")

"""``bench`` of a small real bundle whose recipe nobody has: figures, files, history. Times decide nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from support.negative import write_negative
from support.pages import report
from v2v_export.bench import interleave
from v2v_export.bench import run as bench_run
from v2v_export.bench.host import HostSpan, HostWatch
from v2v_export.bench.machine import Machine
from v2v_export.bench.report import cases
from v2v_export.cli import main
from v2v_export.cli.bench import _machine_lines
from v2v_export.history import Record, read_history
from v2v_runtime.video import VideoWriter

PICTURES = np.full((3, 16, 24, 3), 100, np.uint8)
QUICK = ["--against", "none", "--blocks", "6", "--frames", "17"]


@pytest.fixture(autouse=True)
def noise(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Processor seconds that others use in a measurement, as this machine is made to tell."""
    foreign = [0.0]
    monkeypatch.setattr(HostWatch, "stop", lambda *_: HostSpan(1.0, foreign[0], 0.0))
    return foreign


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_negative(tmp_path / "negative.v2v", PICTURES)


def test_the_stream_alone(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(bundle), *QUICK, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["sides"]) == ["stream"]
    assert told["ratios"] == []
    assert told["left_out"] == {}
    stream = told["sides"]["stream"]
    assert stream["frames"] == 102
    assert 0 < stream["p50"] <= stream["p95"] <= stream["worst"]
    assert stream["p99"] is None, "102 frames have no 99th percentile"
    call = told["calls"]["play/turn"]
    assert call["runs"] == bench_run.CALL_PERIODS
    assert 0 < call["p50"] <= call["p95"] <= call["worst"]
    assert call["p99"] is None


def test_few_frames_have_no_p95_and_no_verdict(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit = tmp_path / "bench.xml"
    argv = [
        "bench",
        str(bundle),
        "--against",
        "none",
        "--blocks",
        "6",
        "--frames",
        "1",
        "--deadline",
        "100000",
    ]

    def told_ci() -> list[str]:
        return [ElementTree.parse(junit).getroot().attrib[name] for name in ("failures", "skipped")]

    assert main([*argv, "--junit", str(junit)]) == 0
    # Wilson's interval of none in six: z^2 / (6 + z^2) with z = 1.96.
    assert "OPEN: 0 of 6 frames took longer than 100000 ms: 0.0% to 39.0%" in capsys.readouterr().out
    assert told_ci() == ["0", "1"]
    assert main([*argv, "--strict", "--json", "--junit", str(junit)]) == 3
    assert told_ci() == ["1", "0"], "a red job has a red report"
    told = json.loads(capsys.readouterr().out)
    assert told["sides"]["stream"]["p95"] is None
    assert (told["verdict"], told["passed"]) == ("OPEN", True)


def test_a_machine_under_load_gives_no_verdict(
    bundle: Path, tmp_path: Path, noise: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "bench.html"
    argv = ["bench", str(bundle), *QUICK, "--deadline", "0.001", "--html", str(page)]
    noise[0] = 0.25
    assert main(argv) == 3, "as much as may be"
    noise[0] = 0.75
    capsys.readouterr()
    assert main(argv) == 0
    told = "other processes use 0.75 cores (limit 0.25)"
    assert f"NOISY, the deadline is not judged: {told}" in capsys.readouterr().out
    assert "NOISY: its deadline is not judged" in page.read_text()
    assert told in page.read_text()
    assert main([*argv, "--strict"]) == 3


@pytest.mark.parametrize(("limit", "status"), [("1000000", 0), ("0.001", 3)], ids=["kept", "missed"])
def test_a_stream_that_had_not_settled_is_judged_and_told(
    bundle: Path,
    tmp_path: Path,
    limit: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It has no time to settle here. The exit status is the verdict's all the same."""
    monkeypatch.setattr(interleave, "WARM_SECONDS", 0.0)
    page, junit = tmp_path / "bench.html", tmp_path / "bench.xml"
    argv = ["bench", str(bundle), *QUICK, "--html", str(page), "--junit", str(junit)]
    assert main([*argv, "--deadline", limit, "--strict"]) == status
    words = "5% may; its times had not settled before"
    assert words in capsys.readouterr().out
    assert "its deadline; its times had not settled before" in page.read_text()
    suite = ElementTree.parse(junit).getroot()
    told = {case.attrib["name"]: child for case in suite for child in case if child.tag != "system-out"}
    ((name, child),) = told.items()
    assert (name, child.tag) == (("deadline", "failure") if status else ("deadline: warm-up", "skipped"))
    assert words in child.attrib["message"]


def test_a_stream_that_had_settled_is_told_without_a_word_of_it() -> None:
    known = report(deadline=45.0)
    assert re.fullmatch(r"KEPT: \d+ of 600 frames took longer than 45 ms: .* may", known.judged)
    assert [case.name for case in cases(known)] == ["stream", "full teacher", "deadline", "torch.compile"]
    few = replace(known, noise=("a fan",), settled={"stream": False})
    assert "settled" not in few.judged, "what is not judged needs no settling"


def test_what_it_was_measured_on_is_told() -> None:
    gpu, clocks = "NVIDIA GeForce RTX 4090, 550.54.14, 24564 MiB, 8.9", "2520 MHz, 10501 MHz, 46"
    machine = Machine("A CPU", 8, 31.2, "Linux 6.1 x86_64", "3.11.7", {}, (gpu,), 0.5)
    known = replace(machine, governor="performance", clock_mhz=3400, gpu_clocks=(clocks,))
    assert _machine_lines(known)[1:] == [
        "3400 MHz, governor performance",
        "NVIDIA GeForce RTX 4090, driver 550.54.14, 2520 MHz, 10501 MHz, 46 degrees C",
    ]
    (line,) = _machine_lines(replace(machine, gpus=()))
    assert line.startswith("A CPU, 8 cores, load 0.5 before; fingerprint ")


def test_a_recipe_that_is_gone_leaves_the_stream(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(bundle), "--blocks", "6", "--frames", "1"]) == 0
    told = capsys.readouterr()
    assert "only the stream is measured" in told.err
    assert "not measured: full teacher: no recipe" in told.out


def test_none_stands_alone(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(bundle), "--against", "none", "--against", "eager"]) == 2
    assert "none" in capsys.readouterr().err


def test_page_junit_and_deadline(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, junit = tmp_path / "bench.html", tmp_path / "bench.xml"
    argv = ["bench", str(bundle), *QUICK, "--html", str(page), "--junit", str(junit)]
    assert main([*argv, "--deadline", "0.001"]) == 3
    suite = ElementTree.parse(junit).getroot()
    assert suite.attrib["failures"] == "1"
    assert [case.attrib["name"] for case in suite] == ["stream", "deadline"]
    assert "misses its deadline" in page.read_text()
    assert main([*argv, "--deadline", "1000000"]) == 0
    assert ElementTree.parse(junit).getroot().attrib["failures"] == "0"
    assert "keeps its deadline" in page.read_text()


def test_history_grows_and_is_drawn(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nine runs of 100 s a frame and nine of 1000 s before this one."""
    history, page = tmp_path / "history.jsonl", tmp_path / "bench.html"
    argv = ["bench", str(bundle), *QUICK, "--history", str(history), "--html", str(page)]
    assert main([*argv, "--commit", "c0ffee"]) == 0
    (run,) = read_history(history)
    assert (run.commit, run.bundle, run.target) == ("c0ffee", "test", "cpu.onnxruntime")
    known = json.loads(history.read_text())
    lines = [
        json.dumps({**known, "turn": level * (1 + 0.001 * (index % 3)), "commit": name})
        for level, name in ((1e5, "slow"), (1e6, "slower"))
        for index in range(9)
    ]
    history.write_text("".join(line + "\n" for line in lines))
    capsys.readouterr()
    assert main(argv) == 0
    told = capsys.readouterr().out
    assert "history: 19 runs like this one, 2 levels" in told
    assert "(slower): 100100.00 -> " in told
    assert "▂" * 9 + "█" * 9 + "▁" in told, "a tenth of seven steps is the second block"
    assert "History on this machine" in page.read_text()
    assert len(read_history(history)) == 19


def test_what_a_history_does_not_mix(
    bundle: Path, tmp_path: Path, noise: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """Longer turns, another clip, a smaller sample, and a machine under load."""
    history = tmp_path / "history.jsonl"
    argv = ["bench", str(bundle), "--against", "none", "--history", str(history), "--json"]

    def trend(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*argv, *words]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)["trend"]
        return found

    trend("--blocks", "6", "--frames", "17")
    assert trend("--blocks", "6", "--frames", "16")["others"] == {"turns": 1}
    assert [run.p95 is None for run in read_history(history)] == [False, True], "102 and 96 frames"
    video = tmp_path / "clip.mp4"
    with VideoWriter(video, rate=25) as writer:
        for time, picture in enumerate(PICTURES):
            writer.write(picture, time)
    found = trend("--blocks", "6", "--frames", "17", "--input", str(video))
    assert found["others"] == {"turns": 1, "clip": 2}
    again = trend("--blocks", "6", "--frames", "17")
    assert (len(again["runs"]), again["others"]) == (2, {"turns": 1, "clip": 1})
    noise[0] = 0.75
    disturbed = trend("--blocks", "6", "--frames", "17", "--deadline", "1e6")
    assert (len(disturbed["runs"]), len(disturbed["noisy"])) == (2, 1)
    (run,) = disturbed["noisy"]
    assert run["noise"] == ["other processes use 0.75 cores (limit 0.25)"]
    assert main(argv[:-1]) == 0
    assert "this run is NOISY, kept and no part of the trend: other processes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "code"), [("--html", "V2V-E1051"), ("--junit", "V2V-E1051"), ("--history", "V2V-E8211")]
)
def test_a_folder_that_is_not_there_is_told_before_anything_is_measured(
    bundle: Path,
    tmp_path: Path,
    option: str,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench_run, "run_bench", lambda *job: pytest.fail("it measured"))
    assert main(["bench", str(bundle), *QUICK, option, str(tmp_path / "none" / "file")]) == 1
    assert code in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_page_of_an_earlier_run_does_not_pass_for_this_ones(bundle: Path, tmp_path: Path) -> None:
    """The run ends before it has a page: there is no such target."""
    files = {option: tmp_path / f"old.{option}" for option in ("html", "junit")}
    argv = ["bench", str(bundle), *QUICK, "--target", "rtx4090"]
    for option, file in files.items():
        file.write_text("keeps its deadline")
        argv += [f"--{option}", str(file)]
    assert main(argv) == 1
    assert not any(file.exists() for file in files.values())


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda text: text[:-9], "V2V-E8212"),
        (lambda text: text.replace("history/3", "history/9"), "V2V-E8213"),
    ],
)
def test_a_damaged_or_newer_history_is_told_before_anything_is_measured(
    bundle: Path,
    tmp_path: Path,
    damage: object,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "history.jsonl"
    record = Record(
        "2026-01-02T00:00:00+00:00", "m", "b", "t.onnxruntime", "0" * 64, {}, 2.5, 2.0, None, 2.5, 10
    )
    line = json.dumps({"schema": "v2v.history/3", **record.__dict__}) + "\n"
    assert callable(damage)
    path.write_text(damage(line))
    before = path.read_bytes()
    monkeypatch.setattr(bench_run, "run_bench", lambda *job: pytest.fail("it measured"))
    assert main(["bench", str(bundle), *QUICK, "--history", str(path)]) == 1
    assert code in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_history_that_cannot_be_written_any_more_loses_no_report(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It could be read before anything was measured; its folder has gone when the run is to be added."""
    folder, page, junit = tmp_path / "kept", tmp_path / "bench.html", tmp_path / "bench.xml"
    folder.mkdir()
    measure = bench_run.run_bench

    def then_gone(*job: Any) -> Any:
        found = measure(*job)
        folder.rmdir()
        return found

    monkeypatch.setattr(bench_run, "run_bench", then_gone)
    argv = ["bench", str(bundle), *QUICK, "--history", str(folder / "runs.jsonl")]
    assert main([*argv, "--html", str(page), "--junit", str(junit)]) == 1
    assert "V2V-E8211" in capsys.readouterr().err
    assert "stream" in page.read_text()
    assert [case.attrib["name"] for case in ElementTree.parse(junit).getroot()] == ["stream"]

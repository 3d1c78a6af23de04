"""``compare`` on two small real bundles: exit status, page, JUnit and counters. Times decide nothing here."""

from __future__ import annotations

import inspect
import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from support.negative import write_negative
from v2v_export.cli import compare, main
from v2v_export.compare import CompareJob, Limits
from v2v_export.compare.job import ROUNDS
from v2v_export.compare.rounds import Pace
from v2v_export.compare.verdict import LEAST_ROUNDS

PICTURES = np.random.default_rng(0).integers(10, 240, (3, 16, 24, 3), np.uint8)
QUICK = ["--rounds", "12", "--cycles", "1", "--turn", "0.01", "--fail", "99", "--least", "98"]
QUICK += ["--most-seconds", "1"]  # no rounds are added


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_negative(tmp_path / "base.v2v", PICTURES)


def test_writes_all_it_is_asked_for(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budgets = tmp_path / "v2v-budgets.toml"
    assert main(["budgets", str(base), "-f", str(budgets), "--write"]) == 0
    files = {name: str(tmp_path / f"c.{name}") for name in ("html", "junit")}
    argv = [
        "compare",
        str(base),
        str(base),
        *QUICK,
        "--budgets",
        str(budgets),
        "-o",
        str(tmp_path / "c.json"),
    ]
    argv += [word for name, file in files.items() for word in (f"--{name}", file)]
    capsys.readouterr()
    assert main([*argv, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] in ("PASS", "NOISY", "INCONCLUSIVE")
    assert told["quality"]["head"]["levels"] == 0
    assert told["counters"] == []
    assert json.loads((tmp_path / "c.json").read_text())["complete"]
    assert "test against test" in Path(files["html"]).read_text()
    suite = ElementTree.parse(files["junit"]).getroot()
    assert [case.attrib["name"] for case in suite] == ["latency", "pictures", "counters"]
    assert suite.attrib["failures"] == "0"

    budgets.write_text(budgets.read_text().replace('"nodes/Sub" = 1', '"nodes/Sub" = 2'))
    changed = budgets.read_text().replace("calls_per_period = 1", "calls_per_period = 2")
    budgets.write_text(changed)
    assert main([*argv, "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["passed"]) == ("FAIL", False)
    assert told["counters"][0].startswith("program: calls_per_period was 2, is 1")
    assert json.loads((tmp_path / "c.json").read_text())["counters"] == told["counters"]
    assert told["counters"][0] in Path(files["html"]).read_text()
    assert ElementTree.parse(files["junit"]).getroot().attrib["failures"] == "1"


def test_wrong_pictures_are_status_3(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = write_negative(tmp_path / "head.v2v", PICTURES, wrong=5)
    assert main(["compare", str(base), str(head), *QUICK]) == 3
    assert "off by up to 5 levels" in capsys.readouterr().out
    assert main(["compare", str(base), str(head), *QUICK, "--no-pictures"]) == 0


def test_other_work_is_refused(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = write_negative(tmp_path / "head.v2v", PICTURES[:, :8])
    assert main(["compare", str(base), str(head), *QUICK]) == 1
    assert "24 x 16 and 24 x 8" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--html", "--junit", "--out"])
def test_a_folder_that_is_not_there_is_told_before_anything_is_played(
    base: Path,
    tmp_path: Path,
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a worker was started"))
    assert main(["compare", str(base), str(base), *QUICK, option, str(tmp_path / "none" / "file")]) == 1
    assert "V2V-E1051" in capsys.readouterr().err


def test_files_of_an_earlier_run_do_not_pass_for_this_ones(base: Path, tmp_path: Path) -> None:
    """The worker is no worker: the run dies in its first round."""
    files = {option: tmp_path / f"old.{option}" for option in ("html", "junit", "out")}
    argv = ["compare", str(base), str(base), *QUICK, "--base-command", "false"]
    for option, file in files.items():
        file.write_text("PASS")
        argv += [f"--{option}", str(file)]
    assert main([*argv, "--base-python", "python"]) == 2
    assert all(file.read_text() == "PASS" for file in files.values()), "a wrong command line touches nothing"
    assert main(argv) == 1
    assert not any(file.exists() for file in files.values())


def test_limits_that_make_no_sense_are_usage(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(base), str(base), "--fail", "1", "--least", "2"]) == 2
    assert "least" in capsys.readouterr().err


def test_the_commands_defaults_are_the_librarys() -> None:
    """Operating points are measured with the library's: what a user gets has to be that."""
    signature = inspect.signature(compare.command).parameters
    limits, pace = Limits(), Pace()
    assert {name: signature[name].default for name in ("rounds", "cycles", "turn", "seed")} == {
        "rounds": ROUNDS,
        "cycles": pace.cycles,
        "turn": pace.turn_seconds,
        "seed": CompareJob.seed,
    }
    assert signature["fail"].default == pytest.approx(100 * limits.fail)
    assert signature["least"].default == pytest.approx(100 * limits.least)
    assert signature["confidence"].default == pytest.approx(100 * limits.confidence)
    assert signature["most_seconds"].default is CompareJob.most_seconds is None


def test_fewer_rounds_than_a_verdict_takes_are_usage(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert LEAST_ROUNDS == 12
    assert main(["compare", str(base), str(base), "--rounds", "11"]) == 2
    assert "--rounds" in capsys.readouterr().err

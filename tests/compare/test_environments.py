"""Two environments by command, through ``v2v-export compare``; and a machine that others use."""

from __future__ import annotations

import json
import shlex
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.negative import write_negative
from v2v_export.bench import host
from v2v_export.bench.processes import session_seconds
from v2v_export.cli import main
from v2v_export.compare import CompareJob, run_compare
from v2v_export.compare.rounds import Pace
from v2v_export.compare.side import Worker, own_command, worker_command
from v2v_export.progress import SilentProgress

FAKE = Path(__file__).with_name("fake_worker.py")
QUICK = [
    "--rounds",
    "12",
    "--cycles",
    "1",
    "--turn",
    "0.05",
    "--no-pictures",
    "--fail",
    "99",
    "--least",
    "98",
]
PICTURES = np.random.default_rng(0).integers(10, 240, (3, 16, 24, 3), np.uint8)


def fake(name: str, **says: Any) -> str:
    """A worker's command as a user would type it."""
    return shlex.join([sys.executable, "-S", str(FAKE), json.dumps({"name": name, **says})])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_negative(tmp_path / "a bundle.v2v", PICTURES)


def test_a_command_is_split_as_by_a_shell_and_knows_its_bundle(tmp_path: Path) -> None:
    words = own_command("sh -c 'exec run \"$0\"' {bundle}", Path("/a b.v2v"), None)
    assert words == ("sh", "-c", 'exec run "$0"', "/a b.v2v")
    assert own_command("run {bundle}", Path("b"), Path("c.npy")) == ("run", "b", "--clip", "c.npy")
    for wrong in ("", "run 'it"):
        with pytest.raises(ValueError):
            own_command(wrong, Path("b"), None)


def test_one_bundle_in_two_environments(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The base's environment is a script that starts the worker, and leaves a note that it did."""
    note, script = tmp_path / "note", tmp_path / "old env.sh"
    words = f'exec "{sys.executable}" -m v2v_runtime.bench_worker "$@"'
    script.write_text(f'#!/bin/sh\necho ran >> "{note}"\n{words}\n')
    script.chmod(0o755)
    template = f"{shlex.quote(str(script))} {{bundle}} --target cpu"
    argv = ["compare", str(bundle), str(bundle), *QUICK, "--turn", "0.01", "--most-seconds", "1"]
    argv += ["--base-command", template]
    assert main([*argv, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(note.read_text().split()) == len(told["rounds"]) == 12
    assert told["base"]["identity"] == told["head"]["identity"]


def test_another_protocol_is_told(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["compare", str(bundle), str(bundle), *QUICK, "--base-command", fake("base", protocol=2)]
    assert main([*argv, "--head-command", fake("head")]) == 1
    told = capsys.readouterr().err
    assert "V2V-E8202" in told
    assert "base: the worker speaks protocol 2" in told


def test_an_environment_without_a_worker_is_told(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An older runtime, say: Python's own words are passed on."""
    isolated = f"{sys.executable} -I -S"
    assert main(["compare", str(bundle), str(bundle), *QUICK, "--base-python", isolated]) == 1
    told = capsys.readouterr().err
    assert "V2V-E8203" in told
    assert "No module named" in told


@pytest.mark.parametrize("python", [(sys.executable,), ("env", sys.executable)])
def test_an_environment_plays_its_own_runtime(
    bundle: Path, tmp_path: Path, python: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one that lies in the working directory; nor, of another environment, that of PYTHONPATH."""
    (tmp_path / "v2v_runtime").mkdir()
    (tmp_path / "v2v_runtime" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    if python[0] == "env":
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Worker("base", worker_command(bundle, None, None, python)) as worker:
        hello = worker.hello()
    assert (hello.output_height, hello.output_width) == (16, 24)


@pytest.mark.parametrize("words", ["run 'it", " ", None])
def test_a_command_that_is_none_is_usage(
    bundle: Path, words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--head-command", words] if words else ["--head-command", "run", "--head-python", "python"]
    assert main(["compare", str(bundle), str(bundle), *more]) == 2


@pytest.mark.parametrize("side", ["base", "head"])
@pytest.mark.parametrize(("words", "told"), [("", "no command"), (" ", "no command"), ("'x", "quotation")])
def test_a_python_that_is_none_is_usage(
    bundle: Path, side: str, words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of no words least of all this command's own Python: a variable of a CI job that is not set."""
    assert main(["compare", str(bundle), str(bundle), *QUICK, f"--{side}-python", words]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_busy_machine_gives_no_verdict_however_clear_the_times(
    monkeypatch: pytest.MonkeyPatch, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """/proc/stat tells of a hundred seconds of work more at each look: nobody's but others'."""
    looks = count()
    monkeypatch.setattr(host, "busy_seconds", lambda: 100.0 * next(looks))
    argv = ["compare", str(bundle), str(bundle), *QUICK, "--fail", "3", "--least", "1"]
    argv += ["--base-command", fake("base"), "--head-command", fake("head", slower=0.5)]
    assert main(argv) == 0
    told = capsys.readouterr().out
    assert "NOISY" in told
    assert "FAIL" not in told
    assert "other processes use" in told
    assert main([*argv, "--strict"]) == 3
    monkeypatch.setattr(host, "busy_seconds", lambda: 0.0)
    assert main(argv) == 3, "the same times on a machine of one's own"


@pytest.mark.parametrize(("most", "rounds"), [(None, 24), (1e9, 24), (1e-9, 12)])
def test_rounds_are_added_while_there_is_time(tmp_path: Path, most: float | None, rounds: int) -> None:
    says = {"process_noise": 0.08, "count": str(tmp_path / "count"), "seed": 4}
    job = CompareJob(
        lambda clip: shlex.split(fake("base", **says)),
        lambda clip: shlex.split(fake("head", **says)),
        rounds=12,
        most_seconds=most,
        pace=Pace(cycles=1, turn_seconds=0.05),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "busy_seconds", lambda: None)
        report = run_compare(job, SilentProgress())
    assert len(report.rounds) == rounds
    assert report.extended == (rounds > 12)


def test_a_wrappers_player_ends_with_its_round(bundle: Path, tmp_path: Path) -> None:
    """A shell that does not hand its place over (no exec): its player is the shell's child."""
    note = tmp_path / "pid"
    words = f'"{sys.executable}" -m v2v_runtime.bench_worker "$0" <&3 & echo $! > "{note}"; wait'
    wrapped = ("sh", "-c", f"exec 3<&0; {words}", str(bundle))
    with Worker("head", wrapped) as worker:
        worker.hello()
        worker.tell("play", frames=10**7)
        player = Path("/proc", note.read_text().strip())
        assert player.exists()
    until = time.monotonic() + 30
    while player.exists() and "\nState:\tZ" not in (player / "status").read_text():
        assert time.monotonic() < until, "the player outlives the round"
        time.sleep(0.05)


def test_processor_time_of_a_wrappers_player_is_its_sides() -> None:
    """Of a shell's child that has ended, and that the shell has waited for."""
    burn = "import time\nwhile time.process_time() < {}: pass"
    script = f"{shlex.quote(sys.executable)} -S -c {shlex.quote(burn.format(0.3))}; echo '{{}}'; sleep 60"
    worker = Worker("head", ("sh", "-c", script))
    with worker:
        worker.ask("warm")
        used = session_seconds([worker.pid])
    assert used is not None
    assert 0.25 <= used[worker.pid] < 3
    assert session_seconds([2**30]) is None, "no such session"


def test_python_is_told_the_same_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """-E keeps PYTHON* from another environment's Python: so this one gets none either, but its path."""
    for name in ("PYTHONOPTIMIZE", "PYTHONPATH", "PYTHONMALLOC", "OTHER"):
        monkeypatch.setenv(name, "1" if name == "PYTHONOPTIMIZE" else "malloc")
    told = "import json, os; print(json.dumps({'seen': sorted(os.environ)}), flush=True); input()"
    with Worker("head", (sys.executable, "-S", "-c", told)) as worker:
        seen = worker.ask("hello")["seen"]
    assert "OTHER" in seen
    assert [name for name in seen if name.startswith("PYTHON")] == ["PYTHONPATH"]

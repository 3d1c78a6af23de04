"""The command line's frame: help, exit statuses, errors, Ctrl-C; whatever the command."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from support.negative import write_negative
from v2v_export import doctor
from v2v_export.cli import main
from v2v_export.cli._group import command_names, load_command
from v2v_export.cli._session import Session
from v2v_export.errors import BuildError, VerdictError

COMMANDS = {
    "init", "build", "run", "verify", "bench", "inspect", "explain", "doctor", "systems", "profiles", "demo",
    "prompt", "cache", "pack", "unpack", "compare", "budgets",
}  # fmt: skip


def python(script: str, *argv: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **more)


class TestHelp:
    def test_lists_every_command_under_a_heading(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--help"]) == 0
        told = capsys.readouterr().out
        assert set(command_names()) == COMMANDS
        for name in COMMANDS:
            assert f" {name} " in told
        order = [told.index(heading) for heading in ("Make a bundle", "Play it", "Judge it", "Look around")]
        assert order == sorted(order)
        assert "Not available" not in told

    def test_no_arguments_show_it_too(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([]) == 0
        assert "Make a bundle" in capsys.readouterr().out

    @pytest.mark.parametrize("name", sorted(COMMANDS))
    def test_of_each_command(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([name, "--help"]) == 0
        told = capsys.readouterr().out
        assert "--json" in told
        assert "--debug" in told
        command = load_command(name)
        assert command.help is not None
        first = command.help.split("\n\n")[0]
        assert first.rstrip().endswith(".")

    def test_imports_nothing_heavy(self) -> None:
        """Neither the list nor any command's help: that is what keeps them quick."""
        script = (
            "import sys\n"
            "from v2v_export.cli import main\n"
            "for name in [[], *([n] for n in sys.argv[1:])]: assert main([*name, '--help']) == 0\n"
            "heavy = {'torch', 'numpy', 'onnx', 'onnxruntime', 'av', 'cv2'} & set(sys.modules)\n"
            "assert not heavy, heavy"
        )
        done = python(script, *sorted(COMMANDS))
        assert done.returncode == 0, done.stderr

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--version"]) == 0
        assert capsys.readouterr().out.startswith("v2v-export ")


class TestWidth:
    """Where a line of results breaks; a table is as wide as its console."""

    WORDS = "word " * 40

    def told(self, monkeypatch: pytest.MonkeyPatch, terminal: bool, columns: str | None) -> list[str]:
        from rich.table import Table

        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda: terminal)
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setenv("TERM", "xterm")
        if columns is None:
            monkeypatch.delenv("COLUMNS", raising=False)
        else:
            monkeypatch.setenv("COLUMNS", columns)
        console = Session().out
        console.print(self.WORDS.strip())
        table = Table(box=None, expand=True, show_header=False)
        table.add_row(self.WORDS.strip())
        console.print(table)
        return stream.getvalue().splitlines()

    def test_a_file_gets_whole_lines_and_wide_tables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        line, *table = self.told(monkeypatch, False, None)
        assert line == self.WORDS.strip()
        assert {len(row) for row in table} == {160}

    def test_columns_are_those_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        line, *table = self.told(monkeypatch, False, "60")
        assert line == self.WORDS.strip()
        assert {len(row) for row in table} == {60}

    def test_a_terminal_gets_lines_broken_at_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = self.told(monkeypatch, True, "60")
        assert max(map(len, lines)) <= 60
        assert lines[0].split() == ["word"] * 12


class TestUsage:
    def test_unknown_command_names_the_nearest(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["biuld"]) == 2
        assert "did you mean build?" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "argv", [["build", "--gpus", "cpu"], ["run"], ["run", "x", "-i", "y", "--frames", "0"]]
    )
    def test_wrong_options(self, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(argv) == 2
        assert "Usage" in capsys.readouterr().err


class TestErrors:
    @pytest.fixture(autouse=True)
    def _stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """``doctor`` ends with whatever a test puts here."""
        self.raises: BaseException | None = None

        def examine() -> list[Any]:
            if self.raises is not None:
                raise self.raises
            return []

        monkeypatch.setattr(doctor, "examine", examine)

    def test_a_coded_error_tells_what_was_seen_expected_and_what_to_do(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.raises = BuildError("V2V-E7999", "a hole", "ground", "fill it")
        assert main(["doctor"]) == 1
        told = capsys.readouterr()
        for words in ("V2V-E7999 a hole", "expected  ground", "to do     fill it"):
            assert words in told.err
        assert "Traceback" not in told.err
        assert told.out == ""

    def test_with_its_traceback_on_request(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.raises = BuildError("V2V-E7999", "a hole")
        assert main(["doctor", "--debug"]) == 1
        assert "Traceback" in capsys.readouterr().err

    def test_brackets_in_a_message_are_shown_as_they_are(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.raises = BuildError("V2V-E7999", "shape [1, 2] of [red]x[/]")
        assert main(["doctor"]) == 1
        assert "shape [1, 2] of [red]x[/]" in capsys.readouterr().err

    def test_as_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.raises = BuildError("V2V-E7999", "a hole", "ground", "fill it")
        assert main(["doctor", "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
        error = {"code": "V2V-E7999", "seen": "a hole", "expected": "ground", "fix": "fill it"}
        assert told == {"error": error}

    def test_a_verdict_has_its_own_status(self) -> None:
        self.raises = VerdictError("V2V-E8999", "too far")
        assert main(["doctor"]) == 3

    def test_ctrl_c(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.raises = KeyboardInterrupt()
        assert main(["doctor"]) == 130
        assert "Traceback" not in capsys.readouterr().err

    def test_an_unreadable_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.raises = PermissionError(13, "Permission denied", "/x")
        assert main(["doctor"]) == 1
        assert "Permission denied" in capsys.readouterr().err

    def test_an_exit_of_the_command_itself(self) -> None:
        self.raises = typer.Exit(3)
        assert main(["doctor"]) == 3

    def test_a_bug_is_not_hidden(self) -> None:
        self.raises = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError):
            main(["doctor"])


class TestACommandThatCannotBeImported:
    @pytest.fixture(autouse=True)
    def _broken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "v2v_export.cli.explain", None)

    def test_stays_listed_with_the_reason(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["--help"]) == 0
        told = capsys.readouterr().out
        assert "explain" in told
        assert "Not available here" in told
        assert " build " in told

    def test_says_so_when_it_is_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["explain"]) == 1
        told = capsys.readouterr().err
        assert "V2V-E9101" in told
        assert "doctor" in told


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_real_process_cleanly(number: signal.Signals, status: int) -> None:
    script = (
        "import sys, time\n"
        "from v2v_export import doctor\n"
        "from v2v_export.cli import main\n"
        "def examine():\n"
        "    try:\n"
        "        print('at work', flush=True)\n"
        "        time.sleep(100)\n"
        "    finally:\n"
        "        print('cleaned up', flush=True)\n"
        "doctor.examine = examine\n"
        "sys.exit(main(['doctor']))"
    )
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "cleaned up" in out
    assert "Traceback" not in errors


def read_nothing(script: str, *argv: str, both: bool = False) -> tuple[int, str]:
    """Exit status and stderr of a process whose stdout has no reader, nor its stderr if ``both``."""
    errors = subprocess.STDOUT if both else subprocess.PIPE
    command = [sys.executable, "-c", script, *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        told = "" if process.stderr is None else process.stderr.read()
        return process.wait(timeout=60), told


def test_a_reader_that_leaves_early_is_no_error() -> None:
    """As in ``v2v-export profiles --json | head -1``."""
    script = "import sys\nfrom v2v_export.cli import main\nsys.exit(main(['profiles', '--json']))"
    status, errors = read_nothing(script)
    assert status == 0
    assert "Error" not in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_reader_that_leaves_early_changes_no_verdict(tmp_path: Path, words: list[str], both: bool) -> None:
    """As in ``v2v-export budgets ... | true``: status 3 stays, and files are written all the same."""
    bundle = write_negative(tmp_path / "negative.v2v", np.zeros((2, 6, 8, 3), np.uint8))
    file, junit = tmp_path / "budgets.toml", tmp_path / "budgets.xml"
    argv = ["budgets", str(bundle), "-f", str(file), "--no-play", "--junit", str(junit), *words]
    script = "import sys\nfrom v2v_export.cli import main\nsys.exit(main(sys.argv[1:]))"
    status, errors = read_nothing(script, *argv, both=both)
    assert status == 3
    assert junit.exists()
    assert "Traceback" not in errors
    assert read_nothing(script, *argv, "--write", both=both)[0] == 0
    assert file.exists()


def test_json_goes_to_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profiles", "--json"]) == 0
    told = capsys.readouterr()
    assert {"cpu", "rtx4090"} <= {profile["name"] for profile in json.loads(told.out)}
    assert "rtx4090" in told.err

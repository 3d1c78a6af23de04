"""Freeing the store's room while builds run: what they use and what they make stays, and nothing waits."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from v2v_export.build import build
from v2v_export.cli import main
from v2v_export.profiles import load_profile
from v2v_export.progress import SilentProgress
from v2v_export.recipe import load_recipe
from v2v_export.store import Store
from v2v_runtime.bundle import Bundle

_BUILD = """
import sys
from pathlib import Path
from v2v_export.store import Store
store = Store(Path(sys.argv[1]))
def produce(folder):
    (folder / "f").write_text("half")
    print("making", flush=True)
    assert sys.stdin.readline() == "go on\\n"
    (folder / "f").write_text("whole")
with store.leases.hold():
    used = store.stage("kind", {"k": "used"}, lambda folder: sys.exit("it is there"))
    made = store.stage("kind", {"k": "made"}, produce)
    print((used / "f").read_text(), (made / "f").read_text(), flush=True)
    assert sys.stdin.readline() == "end\\n"
"""
"""A process that uses one stage, makes another, and reads both at the end, as a build does."""


def _write(text: str) -> Callable[[Path], None]:
    def produce(folder: Path) -> None:
        (folder / "f").write_text(text)

    return produce


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two stages of yesterday."""
    store = Store(tmp_path / "store")
    for name in ("used", "idle"):
        data = store.stage("kind", {"k": name}, _write(name))
        day_before = time.time() - 24 * 3600
        os.utime(data.parent, (day_before, day_before))
    return store


@contextmanager
def another_build(store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of making a stage."""
    command = [sys.executable, "-c", _BUILD, str(store.root.parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "making\n"
            yield process
        finally:
            process.kill()


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def entries(store: Store) -> int:
    return len(list((store.root / "kind").iterdir()))


def test_a_running_build_keeps_what_it_uses_and_makes(store: Store) -> None:
    with another_build(store) as process:
        assert len(store.leases.running()) == 1
        # It returns although the other process holds the lock of what it makes.
        assert store.gc(0) > 0
        assert store.lookup("kind", {"k": "idle"}) is None, "nobody uses it"
        tell(process, "go on")
        assert process.stdout is not None
        assert process.stdout.readline() == "used whole\n"
        assert store.gc(0) == 0, "what it has made is its own until it ends"
        assert entries(store) == 2
        tell(process, "end")
        assert process.wait(30) == 0
    assert store.leases.running() == []
    assert store.gc(0) > 0
    assert entries(store) == 0


def test_a_killed_build_keeps_nothing(store: Store) -> None:
    with another_build(store) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert list((store.root / "locks").glob("lease-*")), "it did leave its file"
    assert store.leases.running() == []
    assert not list((store.root / "locks").glob("lease-*"))
    store.gc(0)
    assert entries(store) == 0, "the half stage too"


def test_the_first_of_two_leases_counts(store: Store) -> None:
    with store.leases.hold():
        assert store.lookup("kind", {"k": "used"}) is not None
        with store.leases.hold():
            assert len(store.leases.running()) == 2
            store.gc(0)
        assert store.lookup("kind", {"k": "used"}) is not None
        assert store.lookup("kind", {"k": "idle"}) is None


def test_the_command_says_what_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("V2V_CACHE", str(store.root.parent))
    with store.leases.hold():
        assert store.lookup("kind", {"k": "used"}) is not None
        assert main(["cache", "--free", "0"]) == 0
        assert "what 1 running build uses stays" in capsys.readouterr().out
        assert main(["cache", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["running_builds"] == 1
        assert told["stages"]["kind"]["entries"] == 1
    assert main(["cache", "--free", "0"]) == 0
    assert "stays" not in capsys.readouterr().out
    assert entries(store) == 0


class Freeing(SilentProgress):
    """Frees the whole cache whenever the build begins a stage, or tells of a step."""

    def __init__(self, store: Store) -> None:
        self._store, self.stages = store, 0

    def start(self, stage: str, total: int | None = None) -> None:
        self.stages += 1
        self._store.gc(0)

    def step(self, text: str = "", done: int | None = None, total: int | None = None) -> None:
        self._store.gc(0)


@pytest.mark.parametrize("state", ["cold", "half done"])
def test_the_cache_is_freed_again_and_again_while_a_bundle_is_built(
    state: str, recipe_path: Path, without: Callable[..., Path], tmp_path: Path
) -> None:
    """Half done: the graphs of another build are used, the engine is made."""
    folder = without("engine") if state == "half done" else tmp_path / "cold"
    progress: Any = Freeing(Store(folder))
    out = tmp_path / "out.v2v"
    recipe = load_recipe(recipe_path)
    build(recipe, out, [load_profile("cpu")], store=Store(folder), progress=progress, verify=False)
    assert progress.stages > 3
    Bundle.open(out, verify="full")


def test_a_place_that_takes_no_files_needs_no_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store on a read-only disk is read, and nobody can free it."""

    def refuse(*arguments: object, **more: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patched:
        patched.setattr("v2v_export.leases.os.open", refuse)
        with store.leases.hold():
            data = store.lookup("kind", {"k": "used"})
    assert data is not None
    assert (data / "f").read_text() == "used"

"""The store: entries are whole or absent, made once, and what is damaged is made again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from v2v_export.errors import BuildError
from v2v_export.store import Store

KEY = {"b": [1, 2.5, None], "a": {"x": "y"}}


def _write(name: str, data: bytes) -> Callable[[Path], None]:
    def produce(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return produce


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_made_once(store: Store) -> None:
    calls = []

    def produce(folder: Path) -> None:
        calls.append(folder)
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("content")

    first = store.stage("kind", KEY, produce)
    assert (first / "sub" / "file").read_text() == "content"
    assert store.stage("kind", {"a": {"x": "y"}, "b": [1, 2.5, None]}, produce) == first
    assert len(calls) == 1
    assert calls[0] != first, "made under another name"
    assert store.stage("kind", {**KEY, "c": 0}, produce) != first
    assert store.stage("other", KEY, produce) != first
    assert json.loads((first.parent / "key.json").read_bytes()) == KEY


def test_an_error_keeps_nothing(store: Store, tmp_path: Path) -> None:
    def produce(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            store.stage("kind", KEY, produce)
        assert list((tmp_path / "v1" / "kind").iterdir()) == []
    assert store.lookup("kind", KEY) is None


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "no list", "half a list"])
def test_a_damaged_entry_is_made_again(store: Store, damage: str) -> None:
    data = store.stage("kind", KEY, _write("f", b"0123456789"))
    path = data / "f"
    if damage == "truncated":
        path.write_bytes(b"01234")
    elif damage == "flipped":
        path.write_bytes(b"0123456780")
    elif damage == "missing":
        path.unlink()
    elif damage == "no list":
        (data.parent / "files.json").unlink()
    else:
        (data.parent / "files.json").write_text('{"f": [10')
    assert store.lookup("kind", KEY) is None
    again = store.stage("kind", KEY, _write("f", b"0123456789"))
    assert (again / "f").read_bytes() == b"0123456789"


def test_one_flipped_bit_in_a_large_file_is_found(store: Store) -> None:
    data = store.stage("kind", KEY, _write("f", bytes(3 << 20)))
    with (data / "f").open("r+b") as file:
        file.seek(2_000_000)
        file.write(b"\x01")
    assert store.lookup("kind", KEY) is None
    assert store.stage("kind", KEY, _write("f", bytes(3 << 20))).joinpath("f").read_bytes() == bytes(3 << 20)


_HALF = """
import os, signal, sys
from pathlib import Path
from v2v_export.store import Store
def produce(folder):
    (folder / "f").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
Store(Path(sys.argv[1])).stage("kind", {"k": 1}, produce)
"""


def test_a_killed_process_leaves_a_store_that_works(store: Store, tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", _HALF, str(tmp_path)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "v1" / "kind").glob("*.tmp-*"))) == 1, "it did die half-way"
    assert store.lookup("kind", {"k": 1}) is None
    data = store.stage("kind", {"k": 1}, _write("f", b"whole"))
    assert (data / "f").read_bytes() == b"whole"
    assert list((tmp_path / "v1" / "kind").glob("*.tmp-*")) == []


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    started, go, waits = threading.Event(), threading.Event(), threading.Event()
    calls, results = [], []

    def produce(folder: Path) -> None:
        calls.append(folder)
        started.set()
        assert go.wait(30)
        (folder / "f").write_text("x")

    first = threading.Thread(target=lambda: results.append(Store(tmp_path).stage("kind", KEY, produce)))
    first.start()
    assert started.wait(30)
    waiting = Store(tmp_path, lambda kind: waits.set())
    second = threading.Thread(target=lambda: results.append(waiting.stage("kind", KEY, produce)))
    second.start()
    assert waits.wait(30), "it is told that it waits"
    go.set()
    for thread in (first, second):
        thread.join(30)
    assert len(calls) == 1
    assert results[0] == results[1]


def test_a_file_s_digest_follows_its_content(store: Store, tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "weights"
    path.write_bytes(b"one")
    old = time.time() - 100
    os.utime(path, (old, old))
    assert store.digest(path) == hashlib.sha256(b"one").hexdigest()
    assert store.digest(path) == hashlib.sha256(b"one").hexdigest()
    assert len(list((tmp_path / "v1" / "digest").iterdir())) == 1, "remembered"
    path.write_bytes(b"two")
    os.utime(path, (old, old))  # same size, same time: the change time gives it away
    assert store.digest(path) == hashlib.sha256(b"two").hexdigest()


def test_a_fresh_file_is_not_remembered(store: Store, tmp_path: Path) -> None:
    """Two writes within one tick of the clock look alike."""
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    store.digest(path)
    assert not (tmp_path / "v1" / "digest").exists()


def test_a_missing_file_has_no_digest(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="E7003"):
        store.digest(tmp_path / "none")


def test_gc_takes_what_is_old(store: Store) -> None:
    old = store.stage("kind", {"k": 1}, _write("f", bytes(1000)))
    new = store.stage("kind", {"k": 2}, _write("f", bytes(1000)))
    past = time.time() - 1000
    os.utime(old.parent, (past, past))
    assert store.gc(500) >= 1000
    assert not old.exists()
    assert new.exists()
    os.utime(new.parent, (past, past))
    assert store.lookup("kind", {"k": 2}) is not None, "use makes it young again"
    assert store.gc(500) == 0


def test_discard(store: Store) -> None:
    store.stage("kind", KEY, _write("f", b"x"))
    store.discard("kind", KEY)
    assert store.lookup("kind", KEY) is None
    store.discard("kind", KEY)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BuildError, match="E7002"):
        Store(tmp_path / "file").stage("kind", KEY, _write("f", b"x"))


def test_the_folder_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2V_CACHE", str(tmp_path / "here"))
    assert Store().root == tmp_path / "here" / "v1"

"""A disk that is full in the middle of a build: a clear error, nothing half-written, and it goes on later."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from v2v_export.store import Store

Driver = Callable[..., subprocess.Popen[str]]


@pytest.mark.parametrize(("limit", "stage"), [(1500, "graphs fp32"), (9000, "self-test")])
def test_a_file_that_the_system_refuses_to_grow(
    recipe_path: Path, driver: Driver, tmp_path: Path, limit: int, stage: str
) -> None:
    """The kernel's own refusal (RLIMIT_FSIZE), in the stage whose file is the first one too large."""
    out, store = tmp_path / "place" / "tiny.v2v", tmp_path / "store"
    out.parent.mkdir()
    process = driver(str(recipe_path), str(out), str(store), limit=limit)
    events = _events(process)
    assert process.returncode == 1
    assert events[-1]["code"] == "V2V-E7001"
    assert "space" in events[-1]["text"]
    assert events[-2] | {"seconds": 0} == {
        "stage": stage,
        "event": "finish",
        "outcome": "failed",
        "seconds": 0,
    }
    assert list(out.parent.iterdir()) == []
    assert not list(store.rglob("*.tmp-*"))
    if stage == "self-test":
        process = driver(str(recipe_path), str(out), str(store))
        events = _events(process)
        assert process.returncode == 0
        graphs = [
            event for event in events if event.get("stage") == "graphs fp32" and event["event"] != "step"
        ]
        assert [(event["event"], event.get("outcome")) for event in graphs] == [
            ("start", None),
            ("finish", "cached"),
        ], "what was finished was kept"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with 24 KiB of room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    (folder / "filler").write_bytes(bytes(104 << 10))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_under_the_store(
    recipe_path: Path, driver: Driver, without: Callable[..., Path], tmp_path: Path, small_disk: Path
) -> None:
    out, store = tmp_path / "place" / "tiny.v2v", small_disk / "store"
    out.parent.mkdir()
    process = driver(str(recipe_path), str(out), str(store))
    assert _events(process)[-1]["code"] == "V2V-E7001"
    assert list(out.parent.iterdir()) == []
    assert not list(store.rglob("*.tmp-*"))


def test_a_full_disk_under_the_bundle(
    warm: Any, recipe_path: Path, driver: Driver, warm_store: Store, small_disk: Path
) -> None:
    out = small_disk / "tiny.v2v"
    process = driver(str(recipe_path), str(out), str(warm_store.root.parent))
    assert _events(process)[-1]["code"] == "V2V-E7001"
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def _events(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, err = process.communicate(timeout=120)
    assert out, err
    return [json.loads(line) for line in out.splitlines()]

"""Two builds of the same recipe at once: both succeed, and each stage is made once."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from v2v_export.build.place import hold
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import BundleError

Driver = Callable[..., subprocess.Popen[str]]


@pytest.mark.parametrize("same_place", [True, False], ids=["one place", "two places"])
def test_two_builds_at_once(
    recipe_path: Path, driver: Driver, without: Callable[..., Path], tmp_path: Path, same_place: bool
) -> None:
    places = [tmp_path / "a.v2v", tmp_path / ("a.v2v" if same_place else "b.v2v")]
    store = without("engine") if same_place else without("variant", "program", "engine")
    running = [driver(str(recipe_path), str(place), str(store)) for place in places]
    outputs = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], [err for _, err in outputs]
    events = [json.loads(line) for out, _ in outputs for line in out.splitlines()]
    built = Counter(e["stage"] for e in events if e["event"] == "finish" and e["outcome"] == "built")
    assert set(built.values()) == {1}, "each stage was made by one of the two"
    assert len(built) == (2 if same_place else 4)
    if same_place:
        results = sorted(e["up_to_date"] for e in events if e["event"] == "result")
        assert results == [False, True]
    identities = {Bundle.open(place).manifest.identity for place in places}
    assert len(identities) == 1


def test_two_stores_and_one_place(
    recipe_path: Path, driver: Driver, without: Callable[..., Path], tmp_path: Path
) -> None:
    """The place has a lock of its own: builds with different caches take turns too."""
    place, store = tmp_path / "place" / "a.v2v", without("engine")
    stores = [store, tmp_path / "other"]
    shutil.copytree(store, stores[1])
    running = [driver(str(recipe_path), str(place), str(each)) for each in stores]
    outputs = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], [err for _, err in outputs]
    events = [json.loads(line) for out, _ in outputs for line in out.splitlines()]
    assert sorted(e["up_to_date"] for e in events if e["event"] == "result") == [False, True]
    Bundle.open(place)
    assert [path.name for path in place.parent.iterdir()] == [place.name], "the lock went with its holder"


def test_a_lock_is_waited_for_and_ends_with_its_holder(tmp_path: Path) -> None:
    out = tmp_path / "new" / "a.v2v"
    held, done, waits = threading.Event(), threading.Event(), threading.Event()
    order: list[str] = []

    def second() -> None:
        assert held.wait(30)
        with hold(out, waits.set):
            order.append("second")
        done.set()

    thread = threading.Thread(target=second)
    thread.start()
    with hold(out, lambda: pytest.fail("nobody holds it")):
        held.set()
        assert waits.wait(30)
        order.append("first")
    assert done.wait(30)
    thread.join()
    assert order == ["first", "second"]
    assert list(tmp_path.iterdir()) == [], "neither lock nor folder is left where nothing was made"


def test_a_lock_file_that_a_killed_build_left_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / ".tmp-a.v2v.lock").write_bytes(b"")
    with hold(tmp_path / "a.v2v", lambda: pytest.fail("nobody holds it")):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_takes_no_files() -> None:
    with (
        pytest.raises(BundleError, match=r"E1051[\s\S]*No such file[\s\S]*folder that exists") as caught,
        hold(Path("/proc/a.v2v"), lambda: None),
    ):
        pytest.fail("a lock in /proc")
    assert "disk space" not in str(caught.value)

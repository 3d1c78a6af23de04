"""Two builds of the same recipe at once: both succeed, and each stage is made once."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from v2v_runtime.bundle import Bundle

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

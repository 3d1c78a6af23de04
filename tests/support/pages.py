"""A report of figures that are known, and a browser that opens pages."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from v2v_export.bench.machine import this_machine
from v2v_export.bench.report import STREAM, TEACHER, BenchReport
from v2v_export.bench.statistics import CallTimes, Latency, compare

BROWSER = Path(__file__).parents[1] / "browser"


def report(deadline: float | None = 45.0, frames: int = 600) -> BenchReport:
    """A stream and its teacher, every third frame slower, with a name that HTML would trip over."""
    rng = np.random.default_rng(0)

    def times(level: float) -> list[float]:
        noise = 1 + np.abs(rng.standard_t(3, frames)) * 0.04
        return (level * noise + np.where(np.arange(frames) % 3 == 2, level / 2, 0)).tolist()

    series = {STREAM: times(22), TEACHER: times(41)}
    sides = {name: Latency.of([ms / 1e3 for ms in one], sum(one) / 1e3) for name, one in series.items()}
    misses = {name: sum(ms > (deadline or 0) for ms in one) for name, one in series.items()}
    return BenchReport(
        bundle="a <b> & c",
        identity="a" * 64,
        target="cpu.onnxruntime",
        size=(256, 512),
        blocks=6,
        machine=this_machine(),
        sides=sides,
        ratios=(compare(STREAM, [1.0] * 6, TEACHER, [2.0] * 6),),
        calls={
            "first/full": CallTimes.of([41.0]),
            "stream/shortcut": CallTimes.of([22.0] * 150 + [30.0] * 10),
            "stream/refresh": CallTimes.of([13.0] * 50),
        },
        left_out={"torch.compile": "no C++ compiler on the PATH"},
        deadline=deadline,
        misses=misses if deadline is not None else None,
        series=series,
        warm_frames={STREAM: 40, TEACHER: 30},
        settled={STREAM: True, TEACHER: True},
        roofline={"full": 9.1, "shortcut": 3.2, "refresh": 2.1},
        roofline_of="cpu",
        graph_of={"first/full": "full", "stream/shortcut": "shortcut", "stream/refresh": "refresh"},
        call_frames=160,
        conditions={
            "system": "shortcut_v2v",
            "size": "512 x 256 -> 512 x 256",
            "clip": "24 frames, sha256 0123456789abcdef",
            "sides": f"{STREAM}, {TEACHER}",
            "turns": "6 of 100 frames",
            "threads": "as many as cores",
        },
    )


def look(page: Path, folder: Path) -> dict[str, Any]:
    """What a browser shows of a page: light, dark and narrow; pictures of all three go into ``folder``."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js to run a browser with")
    assert (BROWSER / "node_modules").is_dir(), "`make browser` installs the browser"
    command = [node, "look.mjs", str(page), str(folder)]
    done = subprocess.run(command, cwd=BROWSER, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen

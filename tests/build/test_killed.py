"""Builds ended with SIGKILL or Ctrl-C in each stage: nothing is half-written, and the next one goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from v2v_export.targets import tensorrt
from v2v_runtime.bundle import Bundle

Driver = Callable[..., subprocess.Popen[str]]

STAGES = [
    ("graphs", "tracing feature"),
    ("graphs", "storing the weights"),
    ("self-test", "playing"),
    ("engine cpu.onnxruntime picture", "opening"),
    ("engine cpu.onnxruntime feature", "opening"),
    ("bundle", ""),
    ("publish", ""),
]
"""Every stage in order, and the step in it where the build ends."""


def _events(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def _outcomes(output: str) -> dict[str, str]:
    return {e["stage"]: e["outcome"] for e in _events(output) if e["event"] == "finish"}


def test_killed_in_each_stage_then_resumed(
    warm: Any, recipe_path: Path, driver: Driver, tmp_path: Path
) -> None:
    """One build killed in its first stage, the next in its second ...: each keeps what was finished."""
    out, store = tmp_path / "place" / "tiny.v2v", tmp_path / "store"
    out.parent.mkdir()
    finished: set[str] = set()
    traced: list[set[int]] = []
    for stage, text in STAGES:
        process = driver(str(recipe_path), str(out), str(store), "--kill", stage, text)
        output, err = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, (stage, text, output, err)
        assert not out.exists(), f"killed in {stage!r}, and yet published"
        outcomes = _outcomes(output)
        assert {outcomes[name] for name in finished} <= {"cached"}, "what was finished is not made again"
        finished |= set(outcomes)
        if stage == "graphs":
            traced.append({path.stat().st_mtime_ns for path in store.glob("v1/graph/*/data/*.onnx")})
    assert [len(times) for times in traced] == [1, 2]
    assert traced[0] < traced[1], "a graph that was traced is not traced again"
    process = driver(str(recipe_path), str(out), str(store))
    output, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert set(_outcomes(output).values()) == {"cached", "done"}, "all that was finished was kept"
    assert _tree(out) == _tree(warm.bundle), "the same bytes as a build that nobody ended"
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert not list(store.rglob("*.tmp-*")), "leftovers of killed builds are thrown away"


LATER_STAGES = [
    ("memory rtx4090.tensorrt", "estimating"),
    ("engine rtx4090.tensorrt feature", "parsing"),
    ("verify cpu.onnxruntime", ""),
]
"""Those that a build with parity and a GPU's target has besides."""


def test_killed_in_the_stages_of_a_gpu_and_of_parity(
    recipe_path: Path, driver: Driver, without: Callable[..., Path], tmp_path: Path
) -> None:
    if not tensorrt.BUILDER.available().ok:
        pytest.skip("TensorRT-RTX is not installed")
    out, store = tmp_path / "place" / "tiny.v2v", without()
    out.parent.mkdir()
    recipe_path.write_text(recipe_path.read_text().replace('["cpu"]', '["cpu", "rtx4090"]'))
    finished: set[str] = set()
    for stage, text in LATER_STAGES:
        process = driver(str(recipe_path), str(out), str(store), "--verify", "--kill", stage, text)
        output, err = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, (stage, text, output, err)
        assert not out.exists(), f"killed in {stage!r}, and yet published"
        outcomes = _outcomes(output)
        assert {outcomes[name] for name in finished} <= {"cached", "done"}, "nothing is made again"
        finished |= set(outcomes)
    process = driver(str(recipe_path), str(out), str(store), "--verify")
    output, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    built = [name for name, outcome in _outcomes(output).items() if outcome == "built"]
    assert built == ["verify cpu.onnxruntime", "verify rtx4090.tensorrt"]
    bundle = Bundle.open(out)
    assert bundle.target("cpu").status == "verified"
    bundle.verify_target_files(bundle.target("rtx4090"))
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert not list(store.rglob("*.tmp-*"))


@pytest.mark.parametrize(
    ("kind", "stage", "text"),
    [("program", "self-test", "playing"), ("engine", "engine", "opening"), ("engine", "bundle", "")],
)
def test_ctrl_c_leaves_nothing_half_written(
    recipe_path: Path,
    driver: Driver,
    without: Callable[..., Path],
    tmp_path: Path,
    kind: str,
    stage: str,
    text: str,
) -> None:
    out, store = tmp_path / "place" / "tiny.v2v", without(kind)
    out.parent.mkdir()
    process = driver(str(recipe_path), str(out), str(store), "--interrupt", stage, text)
    output, err = process.communicate(timeout=120)
    assert process.returncode == 130, (output, err)
    assert _events(output)[-1]["outcome"] == "stopped"
    assert list(out.parent.iterdir()) == []
    assert not list(store.rglob("*.tmp-*"))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("v2v-child-")]


def test_ctrl_c_at_any_moment_stops_at_once(recipe_path: Path, driver: Driver, tmp_path: Path) -> None:
    """A signal from outside, while torch is at work."""
    out = tmp_path / "tiny.v2v"
    process = driver(str(recipe_path), str(out), str(tmp_path / "store"))
    assert process.stdout is not None
    for line in process.stdout:
        if "tracing picture" in line:
            break
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    output, err = process.communicate(timeout=60)
    assert process.returncode == 130, (output, err)
    assert time.monotonic() - sent < 20
    assert not out.exists()
    assert not list((tmp_path / "store").rglob("*.tmp-*"))


def test_a_killed_build_takes_its_builder_with_it(recipe_path: Path, driver: Driver, tmp_path: Path) -> None:
    process = driver(
        str(recipe_path), str(tmp_path / "o.v2v"), str(tmp_path / "store"), "--kill", "engine", "opening"
    )
    process.communicate(timeout=120)
    deadline = time.monotonic() + 20
    while _builders(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _builders(tmp_path) == []


def _builders(folder: Path) -> list[int]:
    """Processes that build an engine for a request in ``folder``."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "v2v_export.targets.child" in words and any(word.startswith(str(folder)) for word in words):
            found.append(process.pid)
    return found


def _tree(root: Path) -> dict[str, bytes]:
    """Every file; of a target's provenance the measured memory is left out."""
    files = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith("targets/"):
            files[name] = path.read_bytes()
        elif name.endswith("target.json"):
            target = json.loads(path.read_text())
            del target["provenance"]["build_peak_memory"]
            files[name] = json.dumps(target).encode()
    return files

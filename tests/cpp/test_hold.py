"""Engines that a phase holds where memory fails: those of a hold that failed are given back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from conformance.programs.base import HEIGHT, WIDTH, Synthetic
from v2v_runtime.manifest.model import Call, Emit, FrameSpec, Phase, Program

NAMES = (
    "a_graph_with_a_long_name",
    "another_graph_with_such_a_name",
    "a_third_of_them",
)


def test_a_hold_that_fails_leaves_no_engine_behind(cpp_build: Path, tmp_path: Path) -> None:
    """Names of more than 15 characters: shorter ones are copied without an allocation that could fail."""
    spec = FrameSpec(HEIGHT, WIDTH)
    ports = [("video", "a"), ("a", "b"), ("b", "out")]
    calls = tuple(
        Call(f"c{i}", name, {"frame": read}, {"y": written})
        for i, (name, (read, written)) in enumerate(zip(NAMES, ports, strict=True))
    )
    program = Program(
        inputs={"video": spec},
        outputs={"shown": spec},
        phases=(Phase("play", "forever", calls, emit=Emit("out")),),
        max_frames=1,
    )
    models = {
        name: f"{name} (uint8[1,2,4,3] frame) => (uint8[1,2,4,3] y) <uint8 n = {{1}}> {{ y = Add(frame, n) }}"
        for name in NAMES
    }
    parts = Synthetic("held", program, models, simulate=None, resident_phase=frozenset(NAMES))
    bundle = parts.write(tmp_path / "bundle")
    done = subprocess.run(
        [cpp_build / "v2v_hold", bundle.root], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert json.loads(done.stdout)["failed"] >= 3 * len(NAMES)

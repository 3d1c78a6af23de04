"""Runs ``trt_child.py``: engines are built in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from v2v_plugins import trt_loader

CHILD = Path(__file__).with_name("trt_child.py")


def run_child(mode: str, paths: list[Path], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CHILD), mode, *map(str, paths)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def build(mode: str, files: dict[str, Path], cache: Path) -> dict[str, dict[str, Any]]:
    """Name -> what came of its ONNX file.

    Args:
        mode: ``body``, or ``plugin``: with every op's plugin in its body's place.
        cache: where the link that the parser needs is made.
    """
    child = run_child(mode, list(files.values()), trt_loader.child_environment(cache=cache))
    assert child.returncode == 0, child.stderr[-3000:]
    return dict(zip(files, json.loads(child.stdout.splitlines()[-1]), strict=True))

"""Stand-ins in C for libraries that need a GPU, and what the test programs over them must answer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path


def build_standin(compiler: str, source: Path, built: Path) -> Path:
    """Compiles one C file into the shared library ``built``."""
    options = ["-std=c11", "-O1", "-shared", "-fPIC", "-Wall", "-Werror"]
    subprocess.run([compiler, *options, "-o", built, source], check=True)
    return built


def check_same_frames(*command: object) -> None:
    """Runs a program that plays one bundle twice, over a stand-in and on the CPU; both give the same frames.

    It answers how many were shown over the stand-in, how many on the CPU, and how many of them are equal.
    """
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["expected"] > 0
    assert found == {"frames": found["expected"], "expected": found["expected"], "same": found["expected"]}

"""What a process of its own leaves in its home and keeps running: telemetry writes there and has a thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_LOOK = """
import ctypes, json, os
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
said = (getenv(b"ORT_DISABLE_TELEMETRY") or b"").decode()
print(json.dumps([len(os.listdir("/proc/self/task")), said]))
"""


@dataclass(frozen=True)
class Left:
    """Threads when the code had ended, the variable as the C library has it, and files below its home."""

    threads: int
    variable: str
    files: list[str]


def left_by(code: str, *arguments: object, home: Path) -> Left:
    """Runs Python code whose libraries may have one thread each, where nothing was said of telemetry."""
    home.mkdir()
    named = {"HOME": home, "XDG_CACHE_HOME": home / "cache", "XDG_DATA_HOME": home / "data"}
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {
        **os.environ,
        **single,
        **{name: str(folder) for name, folder in named.items()},
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    done = subprocess.run(
        [sys.executable, "-c", code + _LOOK, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    threads, variable = json.loads(done.stdout)
    files = sorted(str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir())
    return Left(threads, variable, files)

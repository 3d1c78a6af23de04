"""The C++ runtime's test programs: one JSON object each on standard output."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any


def run(program: Path, *arguments: object, timeout: float = 240) -> dict[str, Any]:
    """What the program answers. It must end with 0; ``timeout`` is in seconds."""
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=timeout
    )
    assert done.returncode == 0, (done.returncode, done.stdout[-500:], done.stderr[-2000:])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer

"""The child process that builds one engine: ``python -m v2v_export.targets.child REQUEST.json RESULT.json``.

Progress goes to the file descriptor named by ``V2V_PROGRESS_FD`` as JSON lines; stdout and stderr belong to
the backend's own log. The result is written whole or not at all.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from v2v_export.errors import V2VError
from v2v_export.store import refused_writes
from v2v_export.targets.base import EngineRequest, builder

PROGRESS_FD = "V2V_PROGRESS_FD"
PARENT_PID = "V2V_PARENT_PID"
REFUSED = 3
"""Exit status when the builder itself refused with a coded error, which stands in the result file."""


def main(argv: list[str] | None = None) -> int:
    """Builds the request's engine; returns the exit status."""
    request_path, result_path = (Path(item) for item in (sys.argv[1:] if argv is None else argv))
    die_with_parent()
    report = reporter()
    request = EngineRequest.from_json(json.loads(request_path.read_text(encoding="utf-8")))
    try:
        with refused_writes(Path(request.workdir)):
            result = builder(request.backend).build(request, report)
    except V2VError as error:
        write_result(result_path, {"error": [error.code, error.seen, error.expected, error.fix]})
        return REFUSED
    write_result(result_path, {"result": asdict(replace(result, peak_memory=peak_memory()))})
    return 0


def peak_memory() -> int:
    """Peak resident memory of this process in bytes.

    ``ru_maxrss`` survives exec on Linux and would tell the parent's peak, so the kernel's own mark comes
    first.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        mark = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(mark.split()[1]) * 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends, however the parent ends (Linux)."""
    if sys.platform != "linux":
        return
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
    # The parent may have ended before the call above: then nobody would be told.
    if os.getppid() != int(os.environ.get(PARENT_PID, os.getppid())):
        os._exit(1)


def reporter() -> Callable[..., None]:
    """What tells the parent of progress: phase, done, total."""
    number = os.environ.get(PROGRESS_FD)
    if number is None:
        return lambda phase, done=None, total=None: None
    stream = os.fdopen(int(number), "w", buffering=1, encoding="utf-8")

    def report(phase: str, done: int | None = None, total: int | None = None) -> None:
        stream.write(json.dumps({"phase": phase, "done": done, "total": total}) + "\n")

    return report


def write_result(path: Path, data: object) -> None:
    """Writes a result as JSON, whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(data, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


if __name__ == "__main__":
    raise SystemExit(main())

"""Runs child processes that build engines or play them, and makes sure that they end with us."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from v2v_export.errors import BuildError
from v2v_export.targets.base import EngineRequest, EngineResult
from v2v_export.targets.child import PARENT_PID, PROGRESS_FD, REFUSED

LOG_LINES = 12
"""Lines of a failed child's log that its error shows."""

_MODULE = "v2v_export.targets.child"


def build_engine(
    request: EngineRequest,
    report: Callable[[str, int | None, int | None], None],
    environment: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> EngineResult:
    """Builds one engine in a child process and waits for it.

    Args:
        report: takes phase, done, total as the child tells them, from this thread.
        environment: variables to set for the child on top of ours.
        log: takes the child's whole output; None: it is kept only for the error message.

    Raises:
        BuildError: the builder refused (its own code), ended with a status (V2V-E7101), was ended by a signal
            (V2V-E7102), or told no result (V2V-E7103).
        KeyboardInterrupt: passed on after the child and its descendants have been killed.
    """
    what = f"the {request.backend} builder of graph {request.graph!r}"
    data = run_child(_MODULE, request.to_json(), report, environment, log=log, what=what)
    return EngineResult(**data)


def run_child(
    module: str,
    request: Mapping[str, Any],
    report: Callable[[str, int | None, int | None], None],
    environment: Mapping[str, str] | None = None,
    *,
    what: str,
    log: Path | None = None,
) -> dict[str, Any]:
    """Runs ``python -m module REQUEST.json RESULT.json`` and waits for it; see ``child``.

    Args:
        request: plain JSON.
        what: names the child in errors.

    Returns:
        The entry ``result`` of what it wrote.

    Raises:
        BuildError, VerdictError: as ``build_engine``; an error of the child's with a code keeps it.
    """
    with tempfile.TemporaryDirectory(prefix="v2v-child-") as folder:
        request_path, result_path = Path(folder, "request.json"), Path(folder, "result.json")
        request_path.write_text(json.dumps(request), encoding="utf-8")
        log_path = log or Path(folder, "log.txt")
        command = [sys.executable, "-m", module, str(request_path), str(result_path)]
        with log_path.open("wb") as output, _child(command, output, environment or {}) as (process, lines):
            for line in lines:
                item = json.loads(line)
                report(item["phase"], item["done"], item["total"])
            status = process.wait()
        if status == 0 or (status == REFUSED and result_path.exists()):
            return _result(result_path, what)
        raise _failure(status, what, log_path)


@contextlib.contextmanager
def _child(
    command: list[str], output: IO[bytes], environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], IO[str]]]:
    """A child in a process group of its own, its progress lines, and its end on every way out."""
    reading, writing = os.pipe()
    env = {**os.environ, **environment, PROGRESS_FD: str(writing), PARENT_PID: str(os.getpid())}
    with os.fdopen(reading, encoding="utf-8") as lines:
        try:
            # Its own session: a Ctrl-C at the terminal reaches us alone, and we end the whole group.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        try:
            yield process, lines
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _result(path: Path, what: str) -> dict[str, Any]:
    if not path.exists():
        raise BuildError("V2V-E7103", f"{what} told no result")
    data = json.loads(path.read_text(encoding="utf-8"))
    if "error" in data:
        code, seen, expected, fix = data["error"]
        raise BuildError(code, seen, expected, fix)
    result: dict[str, Any] = data["result"]
    return result


def _failure(status: int, what: str, log: Path) -> BuildError:
    if status < 0:
        code, how = "V2V-E7102", f"was ended by {signal.Signals(-status).name}"
    else:
        code, how = "V2V-E7101", f"ended with status {status}"
    with log.open(encoding="utf-8", errors="replace") as file:
        tail = "".join(deque(file, LOG_LINES)).rstrip()
    seen = f"{what} {how}"
    if tail:
        seen += "; its last words:\n" + "\n".join(f"    {line}" for line in tail.splitlines())
    fix = "read its last words above; nothing of this stage was kept"
    if status == -signal.SIGKILL:
        fix = "the machine may have run out of memory: free some and build again; finished stages are kept"
    return BuildError(code, seen, "", fix)

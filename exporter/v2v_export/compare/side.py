"""One side of a comparison: a worker process, and the words that are exchanged with it."""

from __future__ import annotations

import json
import math
import os
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from v2v_runtime.bench_worker import PROTOCOL

from v2v_export.errors import BuildError

ANSWER_SECONDS = 300.0
"""A worker that says nothing for that long is taken for stuck."""


@dataclass(frozen=True)
class Hello:
    """What a side plays; see ``v2v_runtime.bench_worker``."""

    name: str
    system: str
    identity: str
    target: str
    height: int
    width: int
    output_height: int
    output_width: int
    period: int
    open_seconds: float
    versions: Mapping[str, str]


def interpreter(python: Sequence[str] = (sys.executable,)) -> tuple[str, ...]:
    """A Python's command with what keeps it to its own environment's packages."""
    # The working directory may hold a package of that name (-P), and PYTHONPATH is this environment's (-E);
    # no other PYTHON* variable reaches either side.
    own = tuple(python) == (sys.executable,)
    return (*python, "-P", *(() if own else ("-E",)))


def worker_command(
    bundle: Path, target: str | None, clip: Path | None, python: Sequence[str] = (sys.executable,)
) -> tuple[str, ...]:
    """The command that starts the runtime's own worker."""
    words = [*interpreter(python), "-m", "v2v_runtime.bench_worker", str(bundle)]
    if target is not None:
        words += ["--target", target]
    if clip is not None:
        words += ["--clip", str(clip)]
    return tuple(words)


def own_command(template: str, bundle: Path, clip: Path | None) -> tuple[str, ...]:
    """A user's command, as a shell would split it, but run without one.

    Args:
        template: may name ``{bundle}``; ``--clip FILE`` is added where there is a clip.

    Raises:
        ValueError: a quotation that does not end, or no word at all.
    """
    words = [word.replace("{bundle}", str(bundle)) for word in shlex.split(template)]
    if not words:
        raise ValueError("no command")
    return (*words, *(() if clip is None else ("--clip", str(clip))))


class Worker:
    """A running worker. Use it as a context manager: the process ends with the block, however that ends."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        """Starts the process; ``hello`` waits for it.

        Raises:
            BuildError: the command cannot be started (V2V-E8201).
        """
        self.name = name
        self._command = tuple(command)
        self._said: Hello | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._unread = b""
        # What Python itself is told (to optimise, to trace) must not differ between -E and without.
        kept = {key: word for key, word in os.environ.items() if key == "PYTHONPATH" or key[:6] != "PYTHON"}
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=kept,
                start_new_session=True,
            )
        except OSError as error:
            self._log.close()
            raise BuildError(
                "V2V-E8201",
                f"{name}: cannot start {command[0]!r}: {error.strerror}",
                "a command that speaks the worker's protocol",
                "python -m v2v_runtime.bench_worker BUNDLE, say",
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def hello(self) -> Hello:
        """What it plays.

        Raises:
            BuildError: it speaks another protocol, or leaves out what belongs to a hello (V2V-E8202), or see
                ``ask``.
        """
        said = self._answer()
        if said.get("protocol") != PROTOCOL:
            raise BuildError(
                "V2V-E8202",
                f"{self.name}: the worker speaks protocol {said.get('protocol')!r}",
                f"protocol {PROTOCOL}",
                "install a v2v-runtime of the same minor version in both environments",
            )
        if missing := [name for name in Hello.__dataclass_fields__ if name not in said]:
            raise BuildError(
                "V2V-E8202",
                f"{self.name}: the worker's hello has no {', '.join(missing)}",
                f"the fields of protocol {PROTOCOL}",
                "install a v2v-runtime of the same minor version in both environments",
            )
        if wrong := [
            f"{name} {said[name]!r}" for name in Hello.__dataclass_fields__ if not _fits(name, said[name])
        ]:
            raise BuildError(
                "V2V-E8202",
                f"{self.name}: the worker's hello says {', '.join(wrong)}",
                "whole numbers above 0 for sizes and the period, seconds from 0 on, and words",
                "see python -m v2v_runtime.bench_worker",
            )
        self._said = Hello(**{name: said[name] for name in Hello.__dataclass_fields__})
        return self._said

    @property
    def pid(self) -> int:
        """Of the process that was started, which leads a session of its own."""
        return self._process.pid

    @property
    def said(self) -> Hello:
        """Its hello, once ``hello`` has waited for it."""
        assert self._said is not None, "hello comes first"
        return self._said

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """One command and its answer.

        Raises:
            BuildError: the worker ended, broke off or told an error (V2V-E8203), or says nothing (V2V-E8204).
        """
        self.tell(do, **more)
        return self._answer()

    def tell(self, do: str, **more: Any) -> None:
        """Sends a command whose answer is not waited for here."""
        stdin = self._pipe(self._process.stdin)
        try:
            stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
            stdin.flush()
        except OSError:
            raise self.broken("ended") from None

    def close(self) -> None:
        """Ends the process, and those that it started: a wrapper's player is not to play on."""
        if self._process.returncode is None:
            # Until it is waited for, its id stays its session's and its group's, also if it has ended.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue  # what was still to be written has no reader any more
        self._log.close()

    def _answer(self) -> dict[str, Any]:
        line = self._line()
        try:
            said = json.loads(line)
        except ValueError:
            raise self.broken(f"said {line[:80]!r}, which is no JSON") from None
        if not isinstance(said, dict):
            raise self.broken(f"said {line[:80]!r}")
        if "error" in said:
            error = said["error"]
            raise self.broken(str(error.get("text", error)) if isinstance(error, dict) else str(error))
        return said

    def _line(self) -> bytes:
        """The next line; the wait ends with the process or after ``ANSWER_SECONDS``."""
        stdout = self._pipe(self._process.stdout)
        until = time.monotonic() + ANSWER_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                left = until - time.monotonic()
                if left <= 0:
                    raise BuildError(
                        "V2V-E8204",
                        f"{self.name}: the worker has said nothing for {ANSWER_SECONDS:.0f} s",
                        "an answer",
                        "play the bundle with v2v-run to see whether it works at all",
                    )
                if not selector.select(left):
                    continue
                chunk = os.read(stdout.fileno(), 1 << 16)
                if not chunk:
                    raise self.broken("ended")
                self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _pipe(self, pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe

    def broken(self, how: str) -> BuildError:
        """V2V-E8203: what the worker did, with the last of what it wrote to its standard error."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        told = "\n    ".join(lines[-8:])
        return BuildError(
            "V2V-E8203",
            f"{self.name}: the worker {how}" + (f"\n    {told}" if told else ""),
            "",
            "its command: " + " ".join(self._command),
        )


def _fits(name: str, value: object) -> bool:
    """Whether a hello's value is of its field's kind, and can be reckoned with."""
    kind = Hello.__annotations__[name]
    if kind == "int":
        return type(value) is int and value > 0
    if kind == "float":
        return type(value) in (int, float) and 0 <= float(str(value)) < math.inf
    return isinstance(value, str if kind == "str" else dict)

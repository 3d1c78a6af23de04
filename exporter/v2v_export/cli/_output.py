"""Output whose reader may leave early, as ``| head`` does: what comes after that is dropped, nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast


class _Droppable:
    """A text stream; once its pipe has no reader any more, it writes to nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        self._stream.flush()  # what was still buffered


@contextmanager
def droppable_output() -> Iterator[None]:
    """Lets a command go on to its own end and exit status when whoever read its output has left."""
    before = sys.stdout, sys.stderr
    during = _Droppable(before[0]), _Droppable(before[1])
    sys.stdout, sys.stderr = cast("TextIO", during[0]), cast("TextIO", during[1])
    try:
        yield
    finally:
        for stream in during:
            stream.flush()
        sys.stdout, sys.stderr = before

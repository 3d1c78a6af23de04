"""Which call may come next on a stream: one thread at a time, and a collect after every submit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from v2v_runtime.errors import StreamError
from v2v_runtime.frames import OutputFrame

Turn = Literal["call", "collect", "flush", "discard"]
"""``discard`` may come at any time: it forgets what is unfinished. A ``call`` may come when nothing is."""


class Turns:
    """Lets calls in one by one.

    Args:
        settle: waits for what the last step has left running; called before each turn that goes on from it.

    Attributes:
        closed: nothing may come any more.
        ended: ``flush`` has ended the stream: no frame may come until a reset.
        submitted: a ``collect`` has to come next.
        held: frames of a flush that failed half way: another flush has to come next, and hands them over.
    """

    def __init__(self, settle: Callable[[], None]) -> None:
        self._settle = settle
        self._busy = threading.Lock()
        self.closed = False
        self.begin(ended=False)

    def begin(self, ended: bool) -> None:
        """Forgets what was unfinished."""
        self.ended = ended
        self.submitted = False
        self.held: list[OutputFrame] = []

    @contextmanager
    def take(self, turn: Turn) -> Iterator[None]:
        """Lets one thread in, if this kind of call may come now, and settles the step before.

        Raises:
            StreamError: another thread is inside (V2V-E3004); the stream is closed (V2V-E3005); something
                else has to come first (V2V-E3007); late calls failed (V2V-E3024).
        """
        self._enter()
        try:
            if self.closed:
                raise StreamError("V2V-E3005", "the stream is closed", "", "open a new one")
            if turn == "collect":
                if not self.submitted:
                    raise StreamError("V2V-E3007", "nothing was submitted", "submit, then one collect")
            elif turn != "discard":
                if self.submitted:
                    raise StreamError("V2V-E3007", "a submit has not been collected", "", "collect first")
                if self.held and turn != "flush":
                    raise StreamError("V2V-E3007", "an unfinished flush holds frames", "", "flush again")
                self._settle()
            yield
        finally:
            self._busy.release()

    @contextmanager
    def close(self) -> Iterator[bool]:
        """Lets one thread in, and nobody after it; gives whether the stream was open until now.

        Raises:
            StreamError: another thread is inside (V2V-E3004).
        """
        self._enter()
        try:
            was_open, self.closed = not self.closed, True
            yield was_open
        finally:
            self._busy.release()

    def check_running(self) -> None:
        """Raises V2V-E3006 where a flush has ended the stream."""
        if self.ended:
            raise StreamError("V2V-E3006", "flush has ended the stream", "", "reset it to start again")

    def _enter(self) -> None:
        if not self._busy.acquire(blocking=False):
            raise StreamError(
                "V2V-E3004",
                "another thread is inside this stream",
                "one thread at a time",
                "open one stream per thread; they share the bundle's engines",
            )

"""SIGTERM and Ctrl-C end a command, wherever its main thread is when they come.

What a handler raises goes no further than the callback of a weak reference, or the finaliser, that happens to
run just then: the interpreter prints it and goes on. Tracing runs thousands of those. A signal that got lost
so is sent again a moment later.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

AGAIN = 0.05
"""Seconds after which a lost signal is sent again."""


class Terminated(SystemExit):
    """SIGTERM came."""


@contextmanager
def ended_by_signals(status: int) -> Iterator[None]:
    """Within, SIGTERM raises ``Terminated`` with that exit status, and neither that nor the
    ``KeyboardInterrupt`` of a Ctrl-C gets lost. For the main thread."""
    sent: list[threading.Timer] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated(status)

    def lost(unraisable: Any) -> None:
        kinds = ((KeyboardInterrupt, signal.SIGINT), (Terminated, signal.SIGTERM))
        number = next((number for kind, number in kinds if issubclass(unraisable.exc_type, kind)), None)
        if number is None:
            told(unraisable)
            return
        again = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()
        sent.append(again)

    told, sys.unraisablehook = sys.unraisablehook, lost
    handled = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        sys.unraisablehook = told
        for again in sent:
            again.cancel()
        signal.signal(signal.SIGTERM, handled)

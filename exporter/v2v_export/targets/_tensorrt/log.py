"""TensorRT's log: warnings and errors as they come, and the lines that say what an engine is made of."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_KEPT = ("Total Activation Memory:", "Total Weights Memory:")


class Log:
    """What is kept of a build's log.

    Attributes:
        errors: messages of the severities ERROR and INTERNAL_ERROR, in order.
        layers: the lines that describe the built engine's layers.
        memory: the lines that say how many bytes of activations and weights it has.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.layers: list[str] = []
        self.memory: list[str] = []

    def take(self, severity: str, message: str) -> None:
        """Keeps what counts of one message; warnings and errors also go to stderr, the child's log."""
        if severity.endswith("ERROR"):
            self.errors.append(message)
        if severity.endswith("ERROR") or severity == "WARNING":
            print(f"{severity}: {message}", file=sys.stderr)
        elif any(key in message for key in _KEPT):
            self.memory.append(message)
        elif "LayerType:" in message:
            self.layers += [line for line in message.splitlines() if "LayerType:" in line]


def logger(trt: Any, log: Log) -> Any:
    """A logger of the module ``trt`` that hands every message to ``log``."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # a class of an untyped module
        def __init__(self, take: Callable[[str, str], None]) -> None:
            trt.ILogger.__init__(self)
            self._take = take

        def log(self, severity: Any, message: str) -> None:
            self._take(str(severity).rpartition(".")[2], message)

    return Logger(log.take)

"""How long a stage trains and at which rate, and where it says how it goes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Log = Callable[[dict[str, float | int | str]], None]
"""Takes one line of the training log; every line has ``stage``, ``step`` and ``seconds``."""


@dataclass(frozen=True)
class Budget:
    """How long a stage may train, and how fast.

    Attributes:
        seconds: wall time; the learning rate follows a cosine over it, so a slower machine takes fewer steps
            and still ends annealed.
        peak: the largest learning rate, reached after a warm-up of 3 % of the time.
    """

    seconds: float
    peak: float

    def rate(self, elapsed: float) -> float:
        """The learning rate after ``elapsed`` seconds."""
        done = min(1.0, elapsed / self.seconds)
        warm = min(1.0, done / 0.03)
        return self.peak * warm * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-6

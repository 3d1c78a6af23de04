"""How much verification a build can afford: time and memory, asked before each piece of work.

Work is priced by its multiply-adds at the pace of what has been done so far, since no piece can be stopped
half-way. What is not affordable is left out, and said.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path

FIRST_PACE = 1 / 20e9
"""Seconds per multiply-add until something was measured: two cores of a server reach about 40e9."""

TELLING = 2e9
"""Multiply-adds from which a piece of work tells the pace; in smaller ones other costs show."""

ROOM = 0.8
"""The share of the free memory that one piece of work may be expected to take."""


class Budget:
    """Seconds that may be spent.

    Args:
        seconds: None: as many as it takes.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._begin = time.perf_counter()
        self._pace: float | None = None

    @property
    def left(self) -> float:
        """Seconds that are left, infinite without a limit."""
        if self.seconds is None:
            return math.inf
        return max(0.0, self.seconds - (time.perf_counter() - self._begin))

    def price(self, macs: float) -> float:
        """Seconds that work of so many multiply-adds is expected to take."""
        return macs * (FIRST_PACE if self._pace is None else self._pace)

    def took(self, macs: float, seconds: float) -> None:
        """Tells how long a piece of work took; the last telling one sets the pace."""
        if macs >= TELLING:
            self._pace = seconds / macs

    def refuse(self, macs: float, memory: float = 0, seconds: float = 0) -> str:
        """Why a piece of work is not affordable, in words; empty if it is.

        Args:
            memory: bytes that it is expected to take.
            seconds: that it takes besides its multiply-adds.
        """
        price, left = self.price(macs) + seconds, self.left
        if price > left or left <= 0:
            return f"about {price:.0f} s, and {left:.0f} s of budget_seconds are left"
        free = free_memory() if self.seconds is not None else None
        if free is not None and memory > ROOM * free:
            return f"about {memory / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
        return ""

    def spares(self, macs: float, needed: Iterable[tuple[float, float]]) -> bool:
        """Whether a piece of work is affordable and takes no time that other pieces need.

        Args:
            needed: multiply-adds and bytes of those others, the cheapest first. One that is not affordable
                anyway needs nothing.
        """
        kept = 0.0
        for cost, memory in needed:
            if not self.refuse(kept + cost, memory):
                kept += cost
        return not self.refuse(kept + macs)


def free_memory() -> int | None:
    """Bytes that this machine can still give to a process; None where it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024
    except (OSError, StopIteration, ValueError):
        return None

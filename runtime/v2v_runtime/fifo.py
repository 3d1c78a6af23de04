"""Timestamps of the frames whose output is still to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any


class TimestampFifo:
    """One queue per stream, across phases: the oldest waiting frame is the next to be handed over."""

    def __init__(self) -> None:
        self._waiting: deque[Any] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, timestamp: Any) -> None:
        self._waiting.append(timestamp)

    def pop(self, count: int) -> list[Any]:
        """The ``count`` oldest, which are then no longer waiting."""
        return [self._waiting.popleft() for _ in range(count)]

    def drop_newest(self, count: int) -> None:
        """Forgets the newest: their step failed."""
        for _ in range(count):
            self._waiting.pop()

    def drop_oldest(self, count: int) -> None:
        """Forgets the oldest: no output comes for them any more."""
        for _ in range(count):
            self._waiting.popleft()

    def clear(self) -> None:
        self._waiting.clear()

    def items(self) -> tuple[Any, ...]:
        """All of them, oldest first."""
        return tuple(self._waiting)

    def restore(self, items: Iterable[Any]) -> None:
        self._waiting = deque(items)

"""Values that are made when they are asked for: together they may be gigabytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

_V = TypeVar("_V")


class Lazy(Mapping[str, _V]):
    """A mapping whose values are made anew each time, and not kept.

    Args:
        makers: name -> what makes its value.
    """

    def __init__(self, makers: Mapping[str, Callable[[], _V]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> _V:
        return self._makers[name]()

    def __contains__(self, name: object) -> bool:
        # Mapping's own would make the value.
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

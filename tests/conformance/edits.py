"""Edits that spoil a valid manifest, and the list of mistakes that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from conformance.plain import Json

Edit = Callable[[Json], object]


@dataclass(frozen=True)
class Mistake:
    """A valid manifest, the edit that spoils it, and the code expected."""

    name: str
    code: str
    base: Callable[[], Json]
    edit: Edit


MISTAKES: list[Mistake] = []

#: The first phase, the second, and the first phase's first call.
PLAY = "program phases 0"
STREAM = "program phases 1"
CALL = f"{PLAY} calls 0"


def find(document: Json, path: str) -> Any:
    """The value at ``path``: keys and indices between blanks."""
    value: Any = document
    for key in path.split():
        value = value[int(key) if isinstance(value, list) else key]
    return value


def _split(document: Json, path: str) -> tuple[Any, Any]:
    parent, _, last = path.rpartition(" ")
    holder = find(document, parent)
    return holder, int(last) if isinstance(holder, list) else last


def put(path: str, value: Any) -> Edit:
    """Sets the value at ``path``; a number one past the end of an array appends."""

    def edit(document: Json) -> None:
        holder, key = _split(document, path)
        if isinstance(holder, list) and key == len(holder):
            holder.append(value)
        else:
            holder[key] = value

    return edit


def cut(path: str) -> Edit:
    """Removes the value at ``path``."""

    def edit(document: Json) -> None:
        holder, key = _split(document, path)
        del holder[key]

    return edit


def rename(path: str, name: str) -> Edit:
    """Gives the value at ``path`` another key."""

    def edit(document: Json) -> None:
        holder, key = _split(document, path)
        holder[name] = holder.pop(key)

    return edit


def insert(path: str, index: int, *values: Any) -> Edit:
    """Puts values before ``index`` in the array at ``path``."""

    def edit(document: Json) -> None:
        find(document, path)[index:index] = values

    return edit


def move(path: str, start: int, end: int) -> Edit:
    """Moves entry ``start`` of the array at ``path`` to index ``end``."""

    def edit(document: Json) -> None:
        entries = find(document, path)
        entries.insert(end, entries.pop(start))

    return edit


def both(*edits: Edit) -> Edit:
    """The edits, one after the other."""

    def edit(document: Json) -> None:
        for each in edits:
            each(document)

    return edit


def add(code: str, base: Callable[[], Json], **edits: Edit) -> None:
    for name, edit in edits.items():
        MISTAKES.append(Mistake(name, f"V2V-{code}", base, edit))

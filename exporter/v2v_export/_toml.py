"""TOML values into typed ones, with the line where a wrong one stands."""

from __future__ import annotations

import dataclasses
import difflib
import enum
import re
import types
import typing
from typing import Any, Literal, Union

from v2v_export.errors import RecipeError

Key = tuple[str, ...]


class Where:
    """Names places of one TOML text.

    Args:
        file: how errors call it.
        text: its content, valid TOML.
    """

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._lines = text.splitlines()

    def at(self, key: Key) -> str:
        """``file:line``, or the file alone where the key is written in a form that is not looked for."""
        line = self._line(key)
        return f"{self.file}:{line}" if line else self.file

    def wrong(self, key: Key, value: object, expected: str, fix: str = "correct the value") -> RecipeError:
        """The error for a value of the wrong type or out of range (V2V-E5004)."""
        return RecipeError("V2V-E5004", f"{self.at(key)}: {'.'.join(key)} = {_toml(value)}", expected, fix)

    def _line(self, key: Key) -> int | None:
        table: Key = ()
        for number, line in enumerate(self._lines, 1):
            if header := re.match(r"\s*\[([^\[\]]+)\]", line):
                table = tuple(part.strip().strip("\"'") for part in header[1].split("."))
                if table == key:
                    return number
            elif entry := re.match(r"\s*([\w.\"'-]+)\s*=", line):
                written = tuple(part.strip().strip("\"'") for part in entry[1].split("."))
                if (*table, *written) == key:
                    return number
        return None


def field_types(kind: type[Any]) -> dict[str, Any]:
    """Field -> its type, with names resolved, of a dataclass with a default for every field."""
    hints = typing.get_type_hints(kind)
    return {item.name: hints[item.name] for item in dataclasses.fields(kind)}


def read_value(kind: Any, value: object, where: Where, key: Key) -> Any:
    """``value`` as a ``kind``: bool, int, float, str, Literal, an enum of texts, ``X | None``, ``tuple[X,
    ...]``.

    An int serves as a float; nothing else is converted. A float must be finite in float32 too, which is what
    bundles hold.

    Raises:
        RecipeError: V2V-E5004.
        TypeError: a system's options use a type that no recipe can hold.
    """
    origin = typing.get_origin(kind)
    if origin is Literal:
        return _choice(typing.get_args(kind), value, where, key)
    if isinstance(kind, type) and issubclass(kind, enum.StrEnum):
        return kind(_choice(tuple(item.value for item in kind), value, where, key))
    if origin in (Union, types.UnionType):
        inner = [item for item in typing.get_args(kind) if item is not types.NoneType]
        if len(inner) == 1:
            return read_value(inner[0], value, where, key)
    if origin is tuple and typing.get_args(kind)[1:] == (...,):
        if not isinstance(value, list):
            raise where.wrong(key, value, "a list")
        return tuple(read_value(typing.get_args(kind)[0], item, where, key) for item in value)
    if kind in _NAMES:
        return _plain(kind, value, where, key)
    raise TypeError(f"option {'.'.join(key)} has type {kind}, which no recipe can hold")


_LARGEST = (2.0 - 2.0**-23) * 2.0**127
"""Of float32's finite numbers."""

_NAMES = {bool: "true or false", int: "a whole number", float: "a finite number in float32", str: "a text"}


def _plain(kind: type[Any], value: object, where: Where, key: Key) -> Any:
    if kind is float and type(value) in (int, float):
        number = typing.cast("float", value)
        if abs(number) <= _LARGEST:  # not so for NaN; an int may be too large for float()
            return float(number)
    elif type(value) is kind:
        return value
    raise where.wrong(key, value, _NAMES[kind])


def _choice(choices: tuple[Any, ...], value: object, where: Where, key: Key) -> Any:
    # True == 1 in Python, but they are two values in a recipe.
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
    near = difflib.get_close_matches(str(value), [str(item) for item in choices], 1, cutoff=0.4)
    fix = f"did you mean {_toml(near[0])}?" if near else "take one of these"
    raise where.wrong(key, value, f"one of {', '.join(_toml(item) for item in choices)}", fix)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)

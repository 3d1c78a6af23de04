"""Dataclasses of ``model`` back to JSON: the canonical bytes that are hashed, and the text for people."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

_WIDTH = 110


def to_json(value: object) -> Any:
    """Plain dicts, lists, strings and numbers; fields that hold their default are left out.

    Raises:
        TypeError: a value that JSON does not have (NaN, a numpy number, a set ...).
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            item.name: to_json(found)
            for item in dataclasses.fields(value)
            if not _is_default(item, found := getattr(value, item.name))
        }
    if isinstance(value, Mapping):
        if not all(type(key) is str for key in value):
            raise TypeError(f"JSON keys are str, these are not: {list(value)[:4]!r}")
        return {key: to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    if type(value) is float and not math.isfinite(value):
        raise TypeError(f"JSON has no {value}")
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, str):  # a StrEnum
        return str(value)
    raise TypeError(f"JSON has no {type(value).__name__}: {value!r}")


def _is_default(item: dataclasses.Field[Any], value: object) -> bool:
    if isinstance(value, list):
        value = tuple(value)
    if item.default is not dataclasses.MISSING:
        return bool(type(value) is type(item.default) and value == item.default)
    if item.default_factory is not dataclasses.MISSING:
        return bool(value == item.default_factory())
    return False


def canonical_json(plain: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8 with the escapes that JSON demands and no other, one final newline."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8") + b"\n"


def readable_json(plain: Any) -> bytes:
    """The same value for people: keys in the order given, what fits a line on one line, one final newline."""
    return (_lines(plain, "", 0) + "\n").encode("utf-8")


def _lines(plain: Any, indent: str, before: int) -> str:
    """``before``: what stands on the first line already, besides the indent."""
    flat = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    fits = len(indent) + before + len(flat) < _WIDTH  # and a comma
    if fits or not isinstance(plain, dict | list) or not plain:
        return flat
    deeper = indent + "  "
    if isinstance(plain, dict):
        keys = [f"{json.dumps(key, ensure_ascii=False)}: " for key in plain]
        entries = [
            key + _lines(value, deeper, len(key)) for key, value in zip(keys, plain.values(), strict=True)
        ]
        return "{\n" + ",\n".join(deeper + entry for entry in entries) + "\n" + indent + "}"
    entries = [_lines(value, deeper, 0) for value in plain]
    return "[\n" + ",\n".join(deeper + entry for entry in entries) + "\n" + indent + "]"

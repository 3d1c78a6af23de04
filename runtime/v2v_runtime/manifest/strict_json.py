"""JSON read strictly: one text has one meaning, in every language that reads it.

Python's own parser is lenient where this one is not: duplicate keys, ``NaN``, huge numbers and half
surrogates are refused here. What one text may cost is bounded before anything is built from it: 16 MiB,
arrays and objects 64 deep, and 65536 values, counted by what stands before each: a comma, an opening bracket
or an opening brace. The largest manifests so far hold some thousands.

Of several mistakes the one that is met first is told: a size before all else, then whatever ends the grammar,
a number or a literal where it stands, a key that stands twice and half a surrogate pair where the object that
holds them ends, by its entries in their order.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 64
#: A value may take a hundred times the bytes of its text.
MAX_VALUES = 2**16
_INT64 = 2**63
#: A whole string (an unterminated one runs to the end, so that the scan stays linear), a bracket or a comma.
_TOKENS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{,\]}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def load_json(data: bytes | str) -> Any:
    """The value of one JSON text.

    Raises:
        ManifestError: V2V-E2001 to V2V-E2009.
    """
    text = _decode(data)
    _check_bounds(text)
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except json.JSONDecodeError as error:
        raise ManifestError(
            Code.SYNTAX,
            "",
            f"line {error.lineno}, column {error.colno}: {error.msg}",
            "one JSON value",
            "correct the text there; comments and trailing commas are not JSON",
        ) from None


def _decode(data: bytes | str) -> str:
    size = len(data)
    if size > MAX_BYTES:
        raise ManifestError(
            Code.TOO_LARGE, "", f"{size} bytes", f"at most {MAX_BYTES}", "move tensors into blobs/"
        )
    if isinstance(data, str):
        text = data
        if found := _SURROGATE.search(text):
            raise ManifestError(
                Code.ENCODING, "", f"half a surrogate pair at character {found.start()}", "UTF-8"
            )
    else:
        try:
            text = bytes(data).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ManifestError(
                Code.ENCODING, "", f"byte {error.start} is not UTF-8", "UTF-8", "save the file as UTF-8"
            ) from None
    if text.startswith("\ufeff"):
        raise ManifestError(
            Code.ENCODING,
            "",
            "a byte order mark",
            "UTF-8 without one",
            "save the file without a byte order mark",
        )
    return text


def _check_bounds(text: str) -> None:
    depth = values = 0
    for token in _TOKENS.finditer(text):
        first = text[token.start()]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ManifestError(
                    Code.TOO_DEEP,
                    "",
                    f"nesting deeper than {MAX_DEPTH} at character {token.start()}",
                    f"at most {MAX_DEPTH}",
                )
        elif first in "]}":
            depth -= 1
        if first in "[{,":
            values += 1
            if values > MAX_VALUES:
                raise ManifestError(
                    Code.TOO_MANY,
                    "",
                    f"more than {MAX_VALUES} values at character {token.start()}",
                    f"at most {MAX_VALUES}",
                    "move tensors into blobs/",
                )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        _check_text(key)
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, list):
            _check_list(value)
        if key in found:
            raise ManifestError(
                Code.DUPLICATE_KEY,
                "",
                f"the key {key[:64]!r} stands twice in the object after {next(iter(found))[:64]!r}",
                "each key once",
                "keep one of the two",
            )
        found[key] = value
    return found


def _check_list(values: list[Any]) -> None:
    for value in values:
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, list):
            _check_list(value)


def _check_text(text: str) -> None:
    if _SURROGATE.search(text):
        raise ManifestError(
            Code.SURROGATE,
            "",
            f"half a surrogate pair in {text[:64]!r}",
            "whole characters",
            "write it as UTF-8",
        )


def _constant(word: str) -> NoReturn:
    raise ManifestError(Code.NOT_FINITE, "", f"the literal {word}", "a finite number", "leave the key out")


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ManifestError(
            Code.NOT_FINITE, "", f"the number {digits[:40]}", "a number that a double can hold"
        )
    return value


def _int(digits: str) -> int:
    # The length first: turning a million digits into an integer is slow on purpose of whoever sent them.
    if len(digits) <= 20:
        value = int(digits)
        if -_INT64 <= value < _INT64:
            return value
    raise ManifestError(
        Code.INTEGER_SIZE, "", f"the integer {digits[:40]}", "an integer of 64 bits", "write it as text"
    )

"""Documents at the bounds of what is read, each of the kind that costs most for its size.

Every one but those of ``REFUSED`` is a valid manifest, whose provenance holds what costs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from conformance import features

SIZE = 16 * 2**20
VALUES = 2**16
REFUSED = {"digits", "half pairs", "no end of a string"}
"""Those that are no valid manifest, which is not seen before their end."""
_ROOM, _ROOM_OF_VALUES = 4096, 1024  # bytes and values of the manifest around what costs


def large_documents(share: int = 1) -> Iterator[tuple[str, bytes]]:
    """Name -> text. With ``share`` each has that part of the size and of the values that the bounds allow."""
    size, values = SIZE // share - _ROOM, VALUES // share - _ROOM_OF_VALUES

    def array(entry: str, marks: int) -> str:
        return "[" + ",".join([entry] * (values // marks)) + "]"

    def mapping(entry: Callable[[int], str], marks: int) -> str:
        return "{" + ",".join(entry(index) for index in range(values // marks)) + "}"

    long = size // values // 2 - 4  # so long that keys and values fill the file
    yield "zeros", _with(array("0", 1))
    yield "empty objects", _with(array("{}", 2))
    yield "empty arrays", _with(array("[]", 2))
    yield "objects", _with(array('{"a":0}', 2))
    yield "reals", _with(array("1.7976931348623157e308", 1))
    yield "strings", _with(array('"' + "a" * 2 * long + '"', 1))
    yield "keys", _with(mapping(lambda i: f'"{i:0{long}}":"{"a" * long}"', 1))
    yield "keys of objects", _with(mapping(lambda i: f'"{i:0{2 * long}}":{{}}', 2))
    yield "depth", _with(array("[" * 58 + '"' + "a" * 16 + '"' + "]" * 58, 59))
    yield "one string", _with('"' + "a" * size + '"')
    yield "one key", _with('{"' + "a" * size + '":0}')
    yield "one wide string", _with('"' + "\u5b57" * (size // 3 - 2) + "\U0001f600" + '"')
    yield "escapes", _with('"' + "\\u0000" * (size // 6) + '"')
    yield "one number", _with("0." + "3" * size)
    yield "white space", _with(" " * size + "0")
    yield "digits", _with("9" * size)
    yield "half pairs", _with('"' + "\\ud800" * (size // 6) + '"')
    yield "no end of a string", _with('"' + "a" * size)


def _with(text: str) -> bytes:
    document = json.dumps({**features.minimal(), "provenance": {"large": "@"}})
    return document.replace('"@"', text).encode()

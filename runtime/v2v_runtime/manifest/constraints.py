"""What a value must satisfy beyond its JSON type; ``model`` attaches these to types with ``Annotated``.

The reader checks them and the JSON Schema states them, so each rule stands once. Patterns use only what
Python, ECMAScript (JSON Schema) and C++ read alike, and match the whole text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from v2v_runtime.manifest.codes import Code


@dataclass(frozen=True, slots=True)
class Text:
    """A string of 1 to ``longest`` characters that matches ``pattern``; ``what`` says so in words."""

    code: Code
    pattern: str
    longest: int
    what: str


@dataclass(frozen=True, slots=True)
class Range:
    """An integer from ``low`` to ``high``, both included."""

    code: Code
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Items:
    """An array or object of ``fewest`` to ``most`` entries."""

    code: Code
    fewest: int
    most: int


#: One part of a path: no leading or trailing dot (hidden files, ``..``, what Windows strips).
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9._+=@-]*[A-Za-z0-9_+=@-])?"
#: ASCII alone, so that no two spellings of one path exist (Unicode normal forms) and none needs escaping.
_PATH_WORDS = (
    "a relative path of plain ASCII parts joined by '/', none hidden, none '..', at most 200 characters"
)
LONGEST_PATH = 200


def path_under(folder: str, suffix: str = "") -> Text:
    """The rule for paths below ``folder`` (any folder if empty) that end in ``suffix``."""
    tail = suffix.replace(".", r"\.")
    pattern = rf"{folder}/(?:{_PART}/)*" if folder else rf"(?:{_PART}/)*"
    last = rf"[A-Za-z0-9_](?:[A-Za-z0-9._+=@-]*)?{tail}" if tail else _PART
    where = f" under {folder}/" if folder else ""
    ending = f" that ends in {suffix}" if suffix else ""
    return Text(Code.PATH, rf"^{pattern}{last}$", LONGEST_PATH, _PATH_WORDS + where + ending)


_NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]*"
NAME = Text(Code.NAME, rf"^{_NAME}$", 64, "1 to 64 letters, digits, '_' or '-', not beginning with '-'")
#: What a binding may name: a declared name, or a ring's counter.
REFERENCE = Text(Code.NAME, rf"^{_NAME}(?:\.count)?$", 70, f"{NAME.what}; or '<ring>.count'")
CALL_PATH = Text(Code.NAME, rf"^{_NAME}/{_NAME}$", 129, "'<phase>/<call>'")
TENSOR_KEY = Text(
    Code.NAME, r"^(?!__metadata__$)[!-~]+$", 256, "1 to 256 ASCII characters, no space or control"
)
SHA256 = Text(Code.HASH, r"^[0-9a-f]{64}$", 64, "64 lower-case hexadecimal digits")
TITLE = Text(Code.TEXT, r"^[^\u0000-\u001f\u007f]+$", 128, "1 to 128 characters, no control character")

# The types that ``model`` is written in.
Name = Annotated[str, NAME]
#: A name that a call may read: any declared or made name, or ``<ring>.count``.
Reference = Annotated[str, REFERENCE]
Title = Annotated[str, TITLE]
Sha256 = Annotated[str, SHA256]
AnyPath = Annotated[str, path_under("")]
GraphPath = Annotated[str, path_under("graphs", ".onnx")]
BlobPath = Annotated[str, path_under("blobs", ".safetensors")]
Dimension = Annotated[int, Range(Code.SHAPE, 1, 2**40)]
#: TensorRT takes at most 8 dimensions.
Shape = Annotated[tuple[Dimension, ...], Items(Code.SHAPE, 1, 8)]
#: Counts that are at least 1, and indices that are at least 0.
Positive = Annotated[int, Range(Code.RANGE, 1, 2**31 - 1)]
Index = Annotated[int, Range(Code.RANGE, 0, 2**31 - 1)]
#: Any integer that a float64 holds exactly.
Whole = Annotated[int, Range(Code.RANGE, -(2**53), 2**53)]
Pixels = Annotated[int, Range(Code.RANGE, 1, 32768)]
Level = Annotated[int, Range(Code.RANGE, 0, 255)]
Bytes = Annotated[int, Range(Code.RANGE, 0, 2**50)]
#: Rules for the number of entries, to stand in an ``Annotated`` beside the array's or object's type.
Some = Items(Code.COUNT, 1, 4096)
Few = Items(Code.COUNT, 1, 256)
SomeFiles = Items(Code.COUNT, 1, 8192)
TensorKey = Annotated[str, TENSOR_KEY]
CallPath = Annotated[str, CALL_PATH]

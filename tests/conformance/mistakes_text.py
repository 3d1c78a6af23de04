"""Mistakes in the file's text (E2001 to E2009): bytes that no JSON value stands for, or too many of them."""

from __future__ import annotations

import json
from typing import Any

from conformance import features

_TEXT = json.dumps(features.minimal())


def _with(old: str, new: str) -> bytes:
    assert _TEXT.count(old) == 1, old
    return _TEXT.replace(old, new).encode()


def _nested(depth: int) -> bytes:
    return _with(
        '"name": "minimal"', f'"provenance": {{"notes": {"[" * depth}{"]" * depth}}}, "name": "minimal"'
    )


#: name -> (code, the file's bytes)
TEXTS: dict[str, tuple[str, bytes]] = {
    "text_not_utf8": ("V2V-E2001", _with("synthetic", "@@").replace(b"@@", b"s\xff")),
    "text_overlong_utf8": ("V2V-E2001", _with("synthetic", "@@").replace(b"@@", b"s\xc0\xaf")),
    "text_utf16": ("V2V-E2001", _TEXT.encode("utf-16")),
    "text_byte_order_mark": ("V2V-E2001", b"\xef\xbb\xbf" + _TEXT.encode()),
    "text_empty": ("V2V-E2002", b""),
    "text_cut": ("V2V-E2002", _TEXT.encode()[:-2]),
    "text_cut_in_string": ("V2V-E2002", _TEXT.encode()[: _TEXT.index("synthetic") + 3]),
    "text_two_values": ("V2V-E2002", _TEXT.encode() + b" {}"),
    "text_trailing_comma": ("V2V-E2002", _TEXT.encode()[:-1] + b",}"),
    "text_comment": ("V2V-E2002", b"// a comment\n" + _TEXT.encode()),
    "text_single_quotes": ("V2V-E2002", _with('"synthetic"', "'synthetic'")),
    "text_control_character": ("V2V-E2002", _with("synthetic", "syn\tthetic")),
    "text_leading_zero": ("V2V-E2002", _with('"max_frames": 1', '"max_frames": 01')),
    "text_bare_word": ("V2V-E2002", _with('"synthetic"', "synthetic")),
    "text_null_byte": ("V2V-E2002", _TEXT.encode() + b"\0"),
    "text_bad_escape": ("V2V-E2002", _with('"synthetic"', '"\\x41"')),
    "key_twice": ("V2V-E2003", _with('"name": "minimal"', '"name": "minimal", "name": "minimal"')),
    "key_twice_deep": ("V2V-E2003", _with('"steps": "forever"', '"steps": "forever", "steps": 1')),
    "key_twice_escaped": ("V2V-E2003", _with('"name": "minimal"', '"name": "minimal", "n\\u0061me": "x"')),
    "key_twice_in_provenance": (
        "V2V-E2003",
        _with('"name": "minimal"', '"provenance": {"a": 1, "a": 1}, "name": "minimal"'),
    ),
    "number_nan": ("V2V-E2004", _with('"max_frames": 1', '"max_frames": NaN')),
    "number_infinity": ("V2V-E2004", _with('"max_frames": 1', '"max_frames": -Infinity')),
    "number_beyond_double": (
        "V2V-E2004",
        _with('"name": "minimal"', '"provenance": {"loss": 1e999}, "name": "minimal"'),
    ),
    "nested_too_deep": ("V2V-E2006", _nested(63)),
    "nested_far_too_deep": ("V2V-E2006", _nested(20000)),
    "integer_of_65_bits": ("V2V-E2007", _with('"max_frames": 1', '"max_frames": 9223372036854775808')),
    "integer_of_5000_digits": ("V2V-E2007", _with('"max_frames": 1', '"max_frames": ' + "9" * 5000)),
    "surrogate_half": ("V2V-E2008", _with('"minimal"', '"\\ud83d"')),
    "surrogate_half_in_key": (
        "V2V-E2008",
        _with('"name": "minimal"', '"provenance": {"\\udc00": 1}, "name": "minimal"'),
    ),
    "surrogate_half_in_array": (
        "V2V-E2008",
        _with('"name": "minimal"', '"provenance": {"a": [["\\udc00"]]}, "name": "minimal"'),
    ),
    # NaN where no value begins is no literal.
    "text_minus_nan": ("V2V-E2002", _with('"max_frames": 1', '"max_frames": -NaN')),
    "text_nan_behind_a_number": ("V2V-E2002", _with('"max_frames": 1', '"max_frames": 1NaN')),
    "text_nan_behind_a_value": ("V2V-E2002", b"[1 NaN]"),
    "text_nan_behind_all": ("V2V-E2002", _TEXT.encode() + b" NaN"),
    "text_nan_as_key": ("V2V-E2002", b"{NaN:1}"),
    "text_nan_as_second_key": ("V2V-E2002", b'{"a": 1, NaN: 1}'),
    "text_infinity_cut": ("V2V-E2002", b'{"a": Infinit}'),
    "number_nan_in_array": ("V2V-E2004", b"[1, NaN]"),
    "number_infinity_in_array": ("V2V-E2004", b"[ -Infinity]"),
    "number_nan_alone": ("V2V-E2004", b"\n NaN"),
    # Texts with two mistakes: what is met first is told. Half a pair and a key that stands twice are met
    # where their object ends, by its entries in their order.
    "surrogate_half_in_array_of_objects": ("V2V-E2008", b'[{"a": "\\ud800"}]'),
    "surrogate_half_in_no_object": ("V2V-E2014", b'["\\ud800"]'),
    "surrogate_half_before_syntax": ("V2V-E2008", b'{"x": {"b": "\\ud800"}, bad'),
    "surrogate_half_before_integer": ("V2V-E2008", b'{"x": {"b": "\\ud800"}, "y": 99999999999999999999}'),
    "surrogate_half_before_key_twice": ("V2V-E2008", b'{"b": [["\\ud800"]], "a": 1, "a": 2}'),
    "surrogate_half_is_key_twice": ("V2V-E2008", b'{"a": 1, "a": "\\ud800"}'),
    "surrogate_half_looks_like_key_twice": ("V2V-E2008", b'{"\\ufffd": 1, "\\ud800": 2}'),
    "key_twice_before_surrogate_half": ("V2V-E2003", b'{"a": 1, "a": 2, "b": "\\ud800"}'),
    "key_twice_inside_surrogate_half": ("V2V-E2003", b'{"y": "\\ud800", "x": {"a": 1, "a": 1}}'),
    "key_twice_before_null_byte": ("V2V-E2003", b'{"a": 1, "a": 2}\0'),
    "text_syntax_before_surrogate_half": ("V2V-E2002", b'{"b": "\\ud800", bad'),
    "text_null_byte_before_key_twice": ("V2V-E2002", b'{"a": 1, "a": 2\0}'),
    "text_null_byte_in_string": ("V2V-E2002", b'{"a": "x\0"}'),
    "number_nan_before_null_byte": ("V2V-E2004", b'{"a": NaN\0}'),
    "number_beyond_double_before_syntax": ("V2V-E2004", b'{"a": 1e999 bad'),
    "integer_before_syntax": ("V2V-E2007", b'{"a": 99999999999999999999 bad'),
    # A number that breaks off has been met as far as it is one.
    "integer_before_broken_fraction": ("V2V-E2007", b"[99999999999999999999.x]"),
    "integer_before_broken_exponent": ("V2V-E2007", b"[-99999999999999999999e+]"),
    "number_beyond_double_before_broken_exponent": ("V2V-E2004", b"[1" + b"0" * 400 + b".5E]"),
    "text_broken_fraction": ("V2V-E2002", b"[1.x]"),
    "text_broken_integer_behind_a_value": ("V2V-E2002", b"[1 99999999999999999999.x]"),
}


def _marks(value: Any) -> int:
    """Opening brackets and braces, and commas, in the text of a value."""
    if not isinstance(value, dict | list):
        return 0
    entries = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(len(entries) - 1, 0) + sum(map(_marks, entries))


def _values(count: int) -> tuple[str, str, int, str]:
    """The minimal manifest, with zeros in its provenance until ``count`` marks stand in it."""
    document = {**features.minimal(), "provenance": {"zeros": [0]}}
    first, then = json.dumps(document).split("[0]}}")
    return f"{first}[", "0,", count - _marks(document), f"0]}}}}{then}"


#: Files too large to keep: name -> (code or, where nothing is wrong, none; what is first, the text to repeat,
#: how often, what follows).
LARGE: dict[str, tuple[str | None, tuple[str, str, int, str]]] = {
    "text_too_large": ("V2V-E2005", ("", " ", 16 * 2**20, "{}")),
    "values_at_the_bound": (None, _values(65536)),
    "values_beyond_the_bound": ("V2V-E2009", _values(65537)),
    "values_far_beyond_the_bound": ("V2V-E2009", ("[", "[],", 5_000_000, "[]]")),
    # What is met first is told.
    "values_before_depth": ("V2V-E2009", ("[" + "0," * 65536, "[", 100, "")),
    "depth_before_values": ("V2V-E2006", ("[" * 65, "0,", 65536, "0]")),
}

"""JSON's edges: depth, size, numbers, text; the corpus holds one file for each code."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from support.large_documents import REFUSED, large_documents
from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.strict_json import MAX_BYTES, MAX_VALUES, load_json


def code_of(data: bytes | str) -> str:
    with pytest.raises(ManifestError) as caught:
        load_json(data)
    return str(caught.value.code)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("-0", 0),
        ("1e3", 1000.0),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('" \\" ] } \\\\"', ' " ] } \\'),
        (" \t\r\n[ ] ", []),
        ('{"": {}}', {"": {}}),
    ],
)
def test_values(text: str, value: object) -> None:
    found = load_json(text)
    assert found == value
    assert type(found) is type(value)
    assert load_json(text.encode()) == value


def test_depth() -> None:
    assert load_json("[" * 64 + "]" * 64)
    assert code_of("[" * 65 + "]" * 65) == "V2V-E2006"
    assert code_of('{"a":' * 65 + "1" + "}" * 65) == "V2V-E2006"
    assert load_json('"' + "[" * 100 + '"') == "[" * 100
    assert load_json('["\\"' + "[" * 100 + '"]') == ['"' + "[" * 100]
    # One that closes between does not count.
    assert len(load_json("[" + ",".join(["[[]]"] * 100) + "]")) == 100


def test_size() -> None:
    assert load_json(b" " * (MAX_BYTES - 2) + b"{}") == {}
    assert code_of(b" " * (MAX_BYTES - 1) + b"{}") == "V2V-E2005"


def test_values_are_counted_outside_of_strings() -> None:
    """By what stands before each: an opening bracket or brace, or a comma."""
    assert len(load_json("[" + "0," * (MAX_VALUES - 1) + "0]")) == MAX_VALUES
    assert code_of("[" + "0," * MAX_VALUES + "0]") == "V2V-E2009"
    half = MAX_VALUES // 2  # an empty object counts for itself and for its comma
    assert len(load_json("[" + ",".join(["{}"] * half) + "]")) == half
    assert code_of("[" + ",".join(["{}"] * half) + ",0]") == "V2V-E2009"
    assert load_json('"' + "[,{" * MAX_VALUES + '"') == "[,{" * MAX_VALUES
    assert code_of("," * (MAX_VALUES + 1)) == "V2V-E2009"
    assert code_of("," * MAX_VALUES) == "V2V-E2002"


@pytest.mark.parametrize("text", ["-9223372036854775809", "9" * 21, "1" + "0" * 100000])
def test_integers_beyond_64_bits(text: str) -> None:
    assert code_of(text) == "V2V-E2007"


def test_half_surrogates() -> None:
    assert code_of('{"a": ["\\ud800"]}') == "V2V-E2008"
    assert code_of('{"a": [["\\udfff x"]]}') == "V2V-E2008"
    assert code_of('{"\\ud800": 1}') == "V2V-E2008"
    assert code_of(b'{"a": "\xed\xa0\x80"}') == "V2V-E2001"
    assert code_of('{"a": "\ud800"}') == "V2V-E2001"


@pytest.mark.parametrize(
    "text",
    ['"' + '\\"' * 2_000_000, '"' * 2_000_001, "\\" * 2_000_000, "[" * 8_000_000, '{"a":[' * 1_000_000],
    ids=["escapes", "quotes", "backslashes", "brackets", "objects"],
)
def test_hostile_text_costs_little(text: str) -> None:
    """A scan that starts over at each quote would take hours here."""
    begin = time.process_time()
    code_of(text)
    assert time.process_time() - begin < 20


def test_documents_at_the_bounds_take_at_most_256_mb() -> None:
    """Of what Python itself allocates, beside the text."""
    for name, text in large_documents():
        tracemalloc.start()
        try:
            load_json(text)
        except ManifestError:
            assert name in REFUSED
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 256 * 2**20, name

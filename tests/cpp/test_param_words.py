"""A param that is refused: both languages tell what was seen, what was expected and what to do, alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support.both import Both
from support.cpp import CppError, Library
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import StreamError

FINITE = "\n  expected: finite values"


@pytest.fixture(scope="module")
def both(library: Library, bundles: Callable[[str], Bundle]) -> Iterator[Both]:
    """Its param ``guidance`` is float32 [1], ``abc`` float32 [3, 3], ``prompt`` int32 [1, 4]."""
    made = Both(library, bundles("stream_diffusion"))
    yield made
    made.close()


def table(value: float) -> Any:
    values = np.zeros((3, 3))
    values[1, 2] = value
    return values


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "guidance",
            np.ones(2),
            "[V2V-E3011] param 'guidance' was given shape [2]\n  expected: [1]\n"
            "  to do: give a number or an array of that shape",
        ),
        (
            "guidance",
            np.array([True]),
            "[V2V-E3012] param 'guidance' was given type bool\n  expected: float32"
            "\n  to do: convert it first",
        ),
        (
            "prompt",
            np.zeros((1, 4), np.float16),
            "[V2V-E3012] param 'prompt' was given type float16\n  expected: int32\n  to do: convert it first",
        ),
        (
            "prompt",
            np.array([[7, 2**31, -5, 0]]),
            "[V2V-E3012] param 'prompt' holds values from -5 to 2147483648\n"
            "  expected: -2147483648 to 2147483647 (int32)\n  to do: give values within them",
        ),
        (
            "prompt",
            np.array([[0, -(2**31) - 1, -(2**63), -1]]),
            "[V2V-E3012] param 'prompt' holds values from -9223372036854775808 to 0\n"
            "  expected: -2147483648 to 2147483647 (int32)\n  to do: give values within them",
        ),
        (
            "prompt",
            np.array([[2**64 - 1, 2**31, 2**63, 2**64 - 2]], np.uint64),
            "[V2V-E3012] param 'prompt' holds values from 2147483648 to 18446744073709551615\n"
            "  expected: -2147483648 to 2147483647 (int32)\n  to do: give values within them",
        ),
        (
            "guidance",
            np.array([np.nan], np.float32),
            "[V2V-E3013] param 'guidance' holds nan at [0], which is nan as float32" + FINITE,
        ),
        (
            "guidance",
            np.array([-np.nan]),
            "[V2V-E3013] param 'guidance' holds nan at [0], which is nan as float32" + FINITE,
        ),
        (
            "abc",
            table(1e39),
            "[V2V-E3013] param 'abc' holds 1e+39 at [1, 2], which is inf as float32" + FINITE,
        ),
        (
            "abc",
            table(-np.inf),
            "[V2V-E3013] param 'abc' holds -inf at [1, 2], which is -inf as float32" + FINITE,
        ),
    ],
    ids=["shape", "bool", "float16", "int64", "lowest", "uint64", "nan", "-nan", "too large", "-inf"],
)
def test_both_say_it_so(both: Both, name: str, value: Any, words: str) -> None:
    with pytest.raises(StreamError) as python:
        both.python.set_params({name: value})
    with pytest.raises(CppError) as cpp:
        both.cpp.set_params({name: value})
    assert str(python.value) == words
    assert str(cpp.value) == words

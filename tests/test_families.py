"""Names that count up are written once."""

from __future__ import annotations

import pytest
from v2v_export.families import families


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("frame step", "frame step"),
        ("a_00 b_00 a_01 b_01 a_02 b_02", "a_00..02 b_00..02"),
        ("x_8 x_9 x_10 x_11", "x_8..11"),
        ("x_0 x_1", "x_0 x_1"),
        ("x_0 x_1 x_3", "x_0 x_1 x_3"),
        ("x_2 x_1 x_0", "x_2 x_1 x_0"),
        ("k_00 v_00 k_01 v_01 k_13 v_13 k_14 k_15", "k_00 k_01 k_13..15 v_00 v_01 v_13"),
        ("a a", "a"),
        ("s_0[0:1] s_1[0:1] s_2[0:1] s_0[1:2]", "s_0..2[0:1] s_0[1:2]"),
        ("prompt_tokens prompt_tokens_2", "prompt_tokens prompt_tokens_2"),
        ("7", "7"),
        ("", ""),
    ],
)
def test_families(names: str, told: str) -> None:
    assert list(families(names.split())) == told.split()


def test_whose_they_are() -> None:
    found = families(["k_00", "x", "k_01", "k_02"])
    assert found == {"k_00..02": ["k_00", "k_01", "k_02"], "x": ["x"]}

"""Remarks reach whoever loads weights: as warnings, or in a command's log."""

from __future__ import annotations

import warnings

import pytest
from v2v_export.remarks import Remark, remark, told


def test_a_remark_is_a_warning() -> None:
    with pytest.warns(Remark, match="look here"):
        remark("look here")


def test_a_log_gets_each_remark_and_nothing_else() -> None:
    heard: list[str] = []
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        with told(heard.append):
            for _ in range(2):
                remark("again")
            warnings.warn("not ours", UserWarning, stacklevel=1)
        remark("after it")
    assert heard == ["again", "again"]
    assert [str(item.message) for item in others] == ["not ours", "after it"]

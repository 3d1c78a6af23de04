"""Differences: units, tolerances, and that nothing that is no number passes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from v2v_export.verify.compare import Kind, Tolerance, difference, kind_of

FP32 = Tolerance(1e-4, 1, "float32")
FP16 = Tolerance(2e-2, 3, "float16")


def test_pictures_are_compared_as_they_are() -> None:
    expected = np.zeros((1, 3, 2, 2), np.float32)
    seen = expected.copy()
    seen[0, 1, 0, 1] = 2e-4
    found = difference("out", seen, expected, "picture", FP32)
    assert found.largest == pytest.approx(2e-4)
    assert (found.allowed, found.where, found.within) == (1e-4, (0, 1, 0, 1), False)
    assert difference("out", seen, expected, "picture", FP16).within


def test_features_are_compared_in_their_own_deviation() -> None:
    """A thousandth of a deviation is allowed in float32, whatever the scale."""
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 1e3):
        expected = rng.normal(5 * scale, scale, 10_000).astype(np.float32)
        seen = expected.copy()
        seen[77] += 0.002 * expected.std()
        found = difference("z", seen, expected, "feature", FP32)
        assert found.largest == pytest.approx(0.002, rel=0.02)
        assert found.where == (77,)
        assert not found.within


def test_half_precision_features_have_a_tighter_factor() -> None:
    assert FP32.of("feature") == pytest.approx(1e-3)
    assert FP16.of("feature") == pytest.approx(5e-2)


def test_levels() -> None:
    expected = np.array([0, 128, 255], np.uint8)
    seen = np.array([1, 126, 255], np.uint8)
    assert difference("out", seen, expected, "levels", FP32).largest == 2
    assert not difference("out", seen, expected, "levels", FP32).within
    assert difference("out", seen, expected, "levels", FP16).within


def test_a_wrapped_level_is_far_off() -> None:
    seen, expected = np.array([255], np.uint8), np.array([0], np.uint8)
    assert difference("out", seen, expected, "levels", FP32).largest == 255


def test_flags_and_counts_must_be_equal() -> None:
    assert not difference("ok", np.array([False]), np.array([True]), "exact", FP16).within
    assert difference("n", np.array([3]), np.array([3]), "exact", FP16).within


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("both", [True, False])
def test_what_is_no_number_never_passes(bad: float, both: bool) -> None:
    """Not even where both sides agree on it."""
    good, seen = np.ones(4, np.float32), np.ones(4, np.float32)
    seen[2] = bad
    for kind in ("picture", "feature"):
        found = difference("x", seen, seen if both else good, kind, Tolerance(1e9, 1))  # type: ignore[arg-type]  # a Kind
        assert not found.within
        assert not found.finite
        assert found.where == (2,)


def test_shapes_must_fit() -> None:
    found = difference("x", np.zeros((1, 2)), np.zeros((2, 1)), "picture", FP32)
    assert not found.within
    assert "[1, 2]" in str(found)
    assert "[2, 1]" in str(found)


def test_a_constant_tensor_has_a_scale_too() -> None:
    expected = np.full(9, 50.0, np.float32)
    assert difference("x", expected + np.float32(0.01), expected, "feature", FP32).within
    assert not difference("x", expected + 1, expected, "feature", FP32).within
    zeros = np.zeros(9, np.float32)
    assert not difference("x", zeros + np.float32(0.01), zeros, "feature", FP32).within


@pytest.mark.parametrize(
    ("array", "picture", "kind"),
    [
        (np.zeros(1, np.uint8), False, "levels"),
        (np.zeros(1, np.float16), False, "feature"),
        (np.zeros(1, np.float32), True, "picture"),
        (np.zeros(1, np.int64), False, "exact"),
        (np.zeros(1, np.bool_), False, "exact"),
    ],
)
def test_kinds(array: np.ndarray[tuple[int], np.dtype[np.generic]], picture: bool, kind: Kind) -> None:
    assert kind_of(array, picture) == kind

"""How far two tensors are apart, and how far they may be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FEATURE_FACTORS = {"float32": 10.0, "float16": 2.5}
"""Inner tensors may differ by this many times the picture's tolerance, in units of their own deviation: in
float32 1e-3, which is what two correct evaluations differ by where sampling offsets are several pixels."""

_CHUNK = 1 << 22
"""Elements that are widened at a time: caches of a diffusion model are gigabytes."""

Kind = Literal["picture", "feature", "levels", "exact"]
"""``picture``: floats in [-1, 1], absolute. ``feature``: floats of any scale, relative to their standard
deviation. ``levels``: uint8 pictures, in levels. ``exact``: integers and flags."""


@dataclass(frozen=True)
class Tolerance:
    """What a variant may differ by.

    Attributes:
        picture: at the float tap, in [-1, 1].
        levels: of the uint8 output.
        type: the type that the variant computes in.
    """

    picture: float
    levels: int
    type: Literal["float16", "float32"] = "float32"

    def of(self, kind: Kind) -> float:
        """The number that a tensor of that kind is held to, in the kind's own unit."""
        return {
            "picture": self.picture,
            "feature": self.picture * FEATURE_FACTORS[self.type],
            "levels": float(self.levels),
            "exact": 0.0,
        }[kind]


@dataclass(frozen=True)
class Difference:
    """The largest difference in one tensor.

    Attributes:
        largest: in the kind's unit; infinite where a value is not finite or the shapes differ.
        allowed: the tolerance in the same unit.
        where: index of the worst element; empty if the shapes differ.
        seen, expected: the values there, as text.
        reference_finite: whether every value of the expected tensor is a number.
    """

    tensor: str
    kind: Kind
    largest: float
    allowed: float
    where: tuple[int, ...]
    seen: str
    expected: str
    reference_finite: bool = True

    @property
    def within(self) -> bool:
        return self.largest <= self.allowed

    @property
    def finite(self) -> bool:
        """Whether the worst element is a number at all."""
        return math.isfinite(self.largest)

    @property
    def apart(self) -> str:
        """The largest difference and its unit, in words."""
        unit = {"picture": "", "feature": " standard deviations", "levels": " levels", "exact": ""}[self.kind]
        return f"{self.largest:.3g}{unit}"

    def __str__(self) -> str:
        place = f" at {list(self.where)}" if self.where else ""
        return (
            f"{self.tensor}: {self.seen}{place}, expected {self.expected}: off by {self.apart}, "
            f"allowed {self.allowed:.3g}"
        )


def kind_of(array: NDArray[Any], picture: bool = False) -> Kind:
    """How a tensor is judged: by its type, and whether a float one is a picture in [-1, 1]."""
    if array.dtype == np.uint8:
        return "levels"
    if array.dtype.kind == "f":
        return "picture" if picture else "feature"
    return "exact"


def difference(
    tensor: str, seen: NDArray[Any], expected: NDArray[Any], kind: Kind, tolerance: Tolerance
) -> Difference:
    """Compares two tensors; floats of any width, in float64, a part at a time."""
    allowed = tolerance.of(kind)
    if seen.shape != expected.shape:
        return Difference(
            tensor, kind, math.inf, allowed, (), f"shape {list(seen.shape)}", f"shape {list(expected.shape)}"
        )
    if not seen.size:
        return Difference(tensor, kind, 0.0, allowed, (), "nothing", "nothing")
    shape, seen, expected = seen.shape, seen.reshape(-1), expected.reshape(-1)
    largest, at, known = -1.0, 0, True
    for start in range(0, seen.size, _CHUNK):
        wide = [part[start : start + _CHUNK].astype(np.float64) for part in (seen, expected)]
        finite = np.isfinite(wide[1])
        known &= bool(finite.all())
        with np.errstate(invalid="ignore"):
            apart = np.abs(wide[0] - wide[1])
        apart[~(np.isfinite(wide[0]) & finite)] = math.inf
        worst = int(apart.argmax())
        if apart[worst] > largest:
            largest, at = float(apart[worst]), start + worst
    if kind == "feature":
        largest /= _scale(expected)
    where = tuple(int(i) for i in np.unravel_index(at, shape))
    return Difference(tensor, kind, largest, allowed, where, f"{seen[at]:.6g}", f"{expected[at]:.6g}", known)


def _scale(expected: NDArray[Any]) -> float:
    """The standard deviation; of a constant tensor its value, and 1 for zeros."""
    count, total, squares, largest = 0, 0.0, 0.0, 0.0
    parts = range(0, expected.size, _CHUNK)
    for start in parts:
        finite = _finite(expected[start : start + _CHUNK])
        count, total = count + finite.size, total + float(finite.sum())
        largest = max(largest, float(np.abs(finite).max(initial=0.0)))
    if not count:
        return 1.0
    mean = total / count
    for start in parts:
        squares += float(np.square(_finite(expected[start : start + _CHUNK]) - mean).sum())
    deviation = math.sqrt(squares / count)
    # Below rounding, a deviation says nothing of the scale.
    return deviation if deviation > 1e-6 * largest and deviation > 0 else largest or 1.0


def _finite(part: NDArray[Any]) -> NDArray[np.float64]:
    wide = part.astype(np.float64)
    kept: NDArray[np.float64] = wide[np.isfinite(wide)]
    return kept

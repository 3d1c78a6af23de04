"""Noise tables: the same numbers on every machine, in every run and with every NumPy.

A bundle carries its noise as constants, and a graph picks entry ``frame_index % K``. What a library calls
``standard_normal`` may change between versions and differ in the last bit between processors. Here the bits
come from Philox 4x64-10 (Salmon et al., 2011), whose raw stream NumPy keeps fixed, and become normal through
the inverse of the normal distribution (Wichura, algorithm AS 241, 1988) with nothing but IEEE additions,
multiplications, divisions and square roots, each of which has exactly one right answer.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_CENTRE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_TAIL = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_FAR_TAIL = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)
"""AS 241 (PPND16): numerators and denominators, constant term first."""


def noise_table(seed: int, count: int, shape: tuple[int, ...], stream: int = 0) -> NDArray[np.float32]:
    """Standard normal noise, float32 [count, *shape].

    A longer table begins with the shorter one. Tables that must not be correlated (start noise, renoise)
    take different ``stream`` numbers under one seed.

    Args:
        seed, stream: 0 to 2^64 - 1 each.
    """
    size = math.prod(shape)
    normal = _normal_quantile(_uniform(seed, stream, count * size))
    return normal.astype(np.float32).reshape(count, *shape)


def uniform_table(seed: int, count: int, stream: int = 0) -> NDArray[np.float32]:
    """Uniform draws, float32 [count], in (0, 1]: an event of probability 0 never happens, one of 1 always."""
    # 24 bits: each draw is a float32 exactly.
    cells = _raw(seed, stream, count) >> np.uint64(40)
    return ((cells.astype(np.float64) + 1) * 2.0**-24).astype(np.float32)


def _raw(seed: int, stream: int, count: int) -> NDArray[np.uint64]:
    # Philox's keys have no sign; StreamDiffusion's seeds may.
    key = np.array([seed % (1 << 64), stream], np.uint64)
    bits: NDArray[np.uint64] = np.random.Philox(key=key).random_raw(count)
    return bits


def _uniform(seed: int, stream: int, count: int) -> NDArray[np.float64]:
    """In (0, 1), never at an end: the middles of 2^52 cells."""
    cells = _raw(seed, stream, count) >> np.uint64(12)
    return (cells.astype(np.float64) + 0.5) * 2.0**-52


def _normal_quantile(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value that a standard normal variable stays below with probability p, 0 < p < 1."""
    from_middle = p - 0.5
    central = np.abs(from_middle) <= 0.425
    result = from_middle * _ratio(_CENTRE, np.where(central, 0.180625 - from_middle * from_middle, 0.0))
    outside = ~central
    tail = np.minimum(p[outside], 1 - p[outside])
    r = np.sqrt(-_log(tail))
    near = _ratio(_TAIL, r - 1.6)
    far = _ratio(_FAR_TAIL, r - 5.0)
    result[outside] = np.copysign(np.where(r <= 5.0, near, far), from_middle[outside])
    return result


def _ratio(terms: tuple[tuple[float, ...], tuple[float, ...]], x: NDArray[np.float64]) -> NDArray[np.float64]:
    above, below = np.full_like(x, terms[0][-1]), np.full_like(x, terms[1][-1])
    for upper, lower in zip(reversed(terms[0][:-1]), reversed(terms[1][:-1]), strict=True):
        above = above * x + upper
        below = below * x + lower
    return above / below


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm of positive normal numbers to about 2e-16, from exact operations alone.

    ``x = m 2^e`` with m in [sqrt(1/2), sqrt(2)), and log m = 2 artanh(y) with y = (m - 1) / (m + 1), whose
    series in y^2 <= 0.0295 is cut after 11 terms.
    """
    m, e = np.frexp(x)
    low = m < math.sqrt(0.5)
    m, e = np.where(low, 2 * m, m), np.where(low, e - 1, e)
    y = (m - 1) / (m + 1)
    square = y * y
    series = np.zeros_like(y)
    for odd in range(23, 0, -2):
        series = series * square + 1.0 / odd
    result: NDArray[np.float64] = e * math.log(2) + 2 * y * series
    return result

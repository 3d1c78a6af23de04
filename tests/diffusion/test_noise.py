"""Noise tables: the generator against its published vectors, the transform against SciPy, bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri
from v2v_export.diffusion.noise import noise_table, uniform_table

MASK = 2**64 - 1


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox 4x64-10 (Salmon et al., 2011, section 3.3): one block of four numbers."""
    c = [(counter >> 64 * i) & MASK for i in range(4)]
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], 2**64)
        high1, low1 = divmod(0xCA5A826395121157 * c[2], 2**64)
        c = [high1 ^ c[1] ^ k0, low1, high0 ^ c[3] ^ k1, low0]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c


def test_the_generator_s_known_answer() -> None:
    """The vector that its authors publish for counter and key zero; it judges the copy above."""
    assert philox(0, (0, 0)) == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]


@pytest.mark.parametrize(("seed", "stream"), [(0, 0), (7, 3), (MASK, 1)])
def test_the_bits_and_their_quantiles(seed: int, stream: int) -> None:
    """NumPy counts from one; 52 bits of each number are a cell of (0, 1) whose middle is taken."""
    bits = [number for block in range(1, 65) for number in philox(block, (seed, stream))]
    middles = [((number >> 12) + 0.5) / 2**52 for number in bits]
    expected = ndtri(np.array(middles)).astype(np.float32)
    ours = noise_table(seed, 16, (4, 2, 2), stream)
    assert ours.shape == (16, 4, 2, 2)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours.ravel(), expected, rtol=1.2e-7)


def test_uniform_draws() -> None:
    bits = [number for block in range(1, 9) for number in philox(block, (5, 0))]
    expected = np.array([((number >> 40) + 1) / 2**24 for number in bits], np.float32)
    np.testing.assert_array_equal(uniform_table(5, 32), expected)


def test_it_is_normal() -> None:
    values = noise_table(1, 32, (4, 64, 64)).ravel().astype(np.float64)
    assert stats.kstest(values, "norm").pvalue > 1e-3
    assert abs(values.mean()) < 5 / math.sqrt(values.size)
    assert abs(values.std() - 1) < 5 / math.sqrt(2 * values.size)


def test_a_longer_table_begins_with_the_shorter_one() -> None:
    np.testing.assert_array_equal(noise_table(2, 9, (4, 3, 3))[:5], noise_table(2, 5, (4, 3, 3)))


def test_streams_of_one_seed_are_not_correlated() -> None:
    first, second = (noise_table(2, 4, (4, 32, 32), stream).ravel() for stream in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / math.sqrt(first.size)

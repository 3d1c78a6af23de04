"""Late frames of two sides: by how much their share differs, from counts in rounds.

Two things are unknown of a share: which frames happen to be late, and which rounds happen to be bad. The
interval is the wider one of two, at either end:

* of all frames together, Newcombe's hybrid score interval (1998, method 10) from Wilson's, which SciPy has.
  It says what so few frames can tell at all: none late in fifty may still be one in twenty.
* of rounds, by typical values (Hartigan, 1969): the means over all subsets of the rounds' differences cut the
  line into equally likely parts. Leaving zero out is the exact test that changes the rounds' signs (Fisher's,
  for pairs), and unlike ranks it counts how many frames were late in a round. Lateness comes in bursts, so
  rounds are its sample and not frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from v2v_export.bench.deadline import share_interval

SUBSETS = 16
"""Rounds of which all subsets are looked at; of more, 2^16 that a seeded generator draws."""


@dataclass(frozen=True)
class Count:
    """Frames of one side in one round, and how many of them were late."""

    late: int
    frames: int


@dataclass(frozen=True)
class Difference:
    """The head's share of late frames less the base's."""

    estimate: float
    low: float
    high: float


def late_difference(base: Sequence[Count], head: Sequence[Count], confidence: float) -> Difference:
    """The difference of two shares.

    Args:
        base, head: entry i of both is of one round.

    Raises:
        ValueError: not as many rounds on both sides, too few for the confidence, or one without frames.
    """
    shares = [[one.late / one.frames for one in side if one.frames] for side in (base, head)]
    if not len(base) == len(head) == len(shares[0]) == len(shares[1]):
        raise ValueError(f"{len(base)} and {len(head)} rounds; equally many, of a frame at least")
    differences = np.subtract(shares[1], shares[0])
    low, high = frames_interval(base, head, confidence)
    rounds = rounds_interval(differences, confidence)
    return Difference(float(differences.mean()), min(low, rounds[0]), max(high, rounds[1]))


def rounds_interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Where the centre of the rounds' differences lies, by the means of their subsets.

    Raises:
        ValueError: too few values for the confidence.
    """
    count, chosen = len(values), _subsets(len(values))
    # Shares are sums of fractions: what cancels out is to be zero.
    means = np.round(chosen @ values, 12)
    drop = int((1 - confidence) / 2 * (len(means) + 1) * (1 + 1e-9))
    if drop < 1:
        raise ValueError(f"{count} values cannot give a {confidence:.1%} interval")
    means.partition((drop - 1, len(means) - drop))
    return float(means[drop - 1]), float(means[len(means) - drop])


def frames_interval(base: Sequence[Count], head: Sequence[Count], confidence: float) -> tuple[float, float]:
    """Where the difference of the shares of all frames lies."""

    def wilson(side: Sequence[Count]) -> tuple[float, float, float]:
        late, frames = sum(one.late for one in side), sum(one.frames for one in side)
        return late / frames, *share_interval(late, frames, confidence)

    (b, b_low, b_high), (h, h_low, h_high) = wilson(base), wilson(head)
    return (h - b) - np.hypot(h - h_low, b_high - b), (h - b) + np.hypot(h_high - h, b - b_low)


@lru_cache(maxsize=1)
def _subsets(count: int) -> NDArray[np.float64]:
    """Weights of ``count`` values in the mean of each subset [subsets, count]; the empty one is left out."""
    if count <= SUBSETS:
        chosen = np.arange(1, 2**count)[:, None] >> np.arange(count) & 1
    else:
        drawn = np.random.default_rng(0).integers(0, 2, (2**SUBSETS - 1, count))
        chosen = drawn[drawn.any(axis=1)]
    weights: NDArray[np.float64] = chosen / chosen.sum(axis=1, keepdims=True)
    return weights

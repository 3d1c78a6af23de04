"""From rounds to a verdict: is the head slower than the base, and do we know?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from v2v_export.bench.host import FOREIGN
from v2v_export.bench.statistics import Centre, centre
from v2v_export.compare.late import late_difference
from v2v_export.compare.rounds import Round, SideRound


class Verdict(StrEnum):
    """What a comparison says."""

    PASS = "PASS"
    """Not slower by more than the limit, and known to be so."""
    FAIL = "FAIL"
    """Slower: the interval lies above ``Limits.least`` and the estimate above ``Limits.fail``."""
    IMPROVED = "IMPROVED"
    """Quicker, by the same measure."""
    INCONCLUSIVE = "INCONCLUSIVE"
    """The interval is too wide to say either."""
    NOISY = "NOISY"
    """The machine is not fit to judge on; see ``Judgement.noise``."""


LEAST_ROUNDS = 12
"""Rounds that a verdict is made of, at least."""

TAIL_FRAMES = 20
"""Frames of a side in a round, from which its 95th percentile is judged."""

DRIFT = 0.01
"""What a side's frames may become quicker or slower by within its rounds before that is told."""


@dataclass(frozen=True)
class Limits:
    """When a difference counts. Shares: 0.03 is 3 %.

    Attributes:
        fail: the estimate of a slowdown that fails.
        least: the whole interval of a slowdown that fails lies above this.
        confidence: of the intervals, over rounds.
        noise: how far from zero the interval of the sides' own difference may reach; beyond, a machine is
            too noisy.
        foreign: cores' worth of other processes' work in a round, beyond which that round is set aside.
        miss_rate: the rise in the share of late frames that fails: 0.01 is one point.
        miss_ruled_out: the rise that must be out of question for a PASS.
    """

    fail: float = 0.03
    least: float = 0.01
    confidence: float = 0.99
    noise: float = 0.03
    foreign: float = FOREIGN
    miss_rate: float = 0.01
    miss_ruled_out: float = 0.03

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.fail < 1:
            raise ValueError(f"least {self.least} and fail {self.fail}; 0 <= least <= fail < 1")
        if not 0.5 < self.confidence < 1:
            raise ValueError(f"confidence {self.confidence}; between 0.5 and 1")
        if not 0 <= self.miss_rate <= self.miss_ruled_out < 1:
            raise ValueError(
                f"miss_rate {self.miss_rate} and miss_ruled_out {self.miss_ruled_out}; "
                "0 <= miss_rate <= miss_ruled_out < 1"
            )


@dataclass(frozen=True)
class Compared:
    """One figure of the two sides.

    Attributes:
        what: ``median``, ``turn`` (per frame too, but of whole turns: work after a picture is in it),
            ``p95`` or ``miss rate``.
        estimate, low, high: the head's excess over the base as a share (0.05: 5 % slower); for the miss rate
            the difference of the two shares.
        decides: whether its verdict counts: a p95 of few frames is shown and decides nothing.
    """

    what: str
    estimate: float
    low: float
    high: float
    verdict: Verdict
    decides: bool = True


@dataclass(frozen=True)
class Judgement:
    """The verdict and what it stands on.

    Attributes:
        noise: why the machine is not fit to judge on; empty if it is.
        self_difference: how far the interval of what a side differs from itself by reaches from zero.
        told: what is to be known of one side, and says nothing against the machine.
        rounds: that the figures are made of.
        set_aside: others, in which other processes worked.
    """

    verdict: Verdict
    compared: tuple[Compared, ...]
    noise: tuple[str, ...]
    self_difference: float
    rounds: int
    set_aside: int = 0
    told: tuple[str, ...] = ()


def judge(rounds: Sequence[Round], limits: Limits, deadline: float | None = None) -> Judgement:
    """Judges rounds.

    Rounds in which other processes worked are set aside, whatever their times say: what is kept is chosen by
    the machine's own count of processor time, never by the figures. Where too few are left there is no
    verdict, and the figures shown are those of all.

    Args:
        deadline: milliseconds; None: no miss rate.

    Raises:
        ValueError: fewer rounds than a verdict takes (``least_rounds``).
    """
    needed = least_rounds(limits.confidence)
    if len(rounds) < needed:
        raise ValueError(f"{len(rounds)} rounds; a verdict takes {needed}")
    quiet = [item for item in rounds if not disturbed(item, limits)]
    crowded = len(quiet) < max(needed, len(rounds) / 2)
    noise = [_crowd(rounds, len(quiet), limits)] if crowded and len(quiet) < len(rounds) else []
    set_aside = 0 if crowded else len(rounds) - len(quiet)
    if not crowded:
        rounds = quiet
    compared = [
        _ratio("median", [item.median for item in rounds], limits, decides=True),
        _ratio("turn", [item.turn for item in rounds], limits, decides=True),
        _ratio("p95", [item.p95 for item in rounds], limits, decides=_enough(rounds)),
    ]
    if deadline is not None:
        compared.append(_misses(rounds, limits, deadline))
    own = centre([item.noise for item in rounds], limits.confidence)
    reach = max(abs(own.low), abs(own.high))
    noise += _noise(rounds, reach, limits)
    told = (*_one_unsettled(rounds), *_drifting(rounds, limits), *_open(compared, rounds, limits))
    if noise:  # no figure of such a machine is a verdict, however clear it looks
        compared = [replace(item, verdict=Verdict.NOISY) for item in compared]
    verdict = _overall(compared, noise)
    return Judgement(verdict, tuple(compared), tuple(noise), reach, len(rounds), set_aside, told)


def disturbed(item: Round, limits: Limits) -> bool:
    """Whether other processes worked during a round."""
    return item.host.foreign is not None and item.host.foreign > limits.foreign


def least_rounds(confidence: float) -> int:
    """How many rounds a verdict takes: ``LEAST_ROUNDS``, and as many as the widest possible interval."""
    return max(LEAST_ROUNDS, math.ceil(1 - math.log2(1 - confidence)))


def _enough(rounds: Sequence[Round]) -> bool:
    """Whether a frame at least lies beyond a round's 95th percentile on both sides; what else is uncertain of
    it shows in the interval over rounds."""
    least = min(side.frames for item in rounds for side in (item.base, item.head))
    return least >= TAIL_FRAMES


def _ratio(what: str, logs: Sequence[float], limits: Limits, *, decides: bool) -> Compared:
    found = centre(logs, limits.confidence)
    shares = Centre(
        math.expm1(found.estimate),
        math.expm1(found.low),
        math.expm1(found.high),
        found.confidence,
        found.count,
    )
    return Compared(
        what,
        shares.estimate,
        shares.low,
        shares.high,
        _decide(shares, limits.least, limits.fail),
        decides,
    )


def _misses(rounds: Sequence[Round], limits: Limits, deadline: float) -> Compared:
    """FAIL where the share of late frames rises by more than ``miss_rate``, in an interval above zero."""
    base, head = ([side.late(deadline) for side in sides] for sides in zip(*map(_sides, rounds), strict=True))
    found = late_difference(base, head, limits.confidence)
    if found.low > 0 and found.estimate > limits.miss_rate:
        verdict = Verdict.FAIL
    elif found.high < 0 and found.estimate < -limits.miss_rate:
        verdict = Verdict.IMPROVED
    else:
        verdict = Verdict.PASS if found.high <= limits.miss_ruled_out else Verdict.INCONCLUSIVE
    return Compared("miss rate", found.estimate, found.low, found.high, verdict)


def _sides(item: Round) -> tuple[SideRound, SideRound]:
    return item.base, item.head


def _open(compared: Sequence[Compared], rounds: Sequence[Round], limits: Limits) -> tuple[str, ...]:
    """Says that the deadline has no judge where the frames cannot tell."""
    if not any(item.what == "miss rate" and item.verdict is Verdict.INCONCLUSIVE for item in compared):
        return ()
    frames = min(sum(side.frames for side in sides) for sides in zip(*map(_sides, rounds), strict=True))
    return (
        f"the deadline is not judged: {frames} frames a side do not rule out that "
        f"{limits.miss_ruled_out:.0%} more of them are late",
    )


def _drifting(rounds: Sequence[Round], limits: Limits) -> tuple[str, ...]:
    """Says which sides become quicker or slower in their rounds, all rounds together.

    That may be too slow and too small for a single warm-up to show. It meets turns of both sides, so it says
    nothing against a verdict.
    """
    told = []
    for name, sides in zip(("base", "head"), zip(*map(_sides, rounds), strict=True), strict=True):
        found = centre([side.drift for side in sides], limits.confidence)
        if abs(found.estimate) > DRIFT and found.low * found.high > 0:
            change, more = math.expm1(found.estimate), "more" if found.estimate > 0 else "less"
            told.append(
                f"the {name}'s frames take {abs(change):.1%} {more} in the second half of a round: "
                "its warm-up goes on"
            )
    return tuple(told)


def _decide(found: Centre, least: float, fail: float) -> Verdict:
    if found.low > least and found.estimate > fail:
        return Verdict.FAIL
    if found.high < -least and found.estimate < -fail:
        return Verdict.IMPROVED
    if found.high <= fail:
        return Verdict.PASS
    return Verdict.INCONCLUSIVE


def _noise(rounds: Sequence[Round], reach: float, limits: Limits) -> list[str]:
    told = []
    if reach > limits.noise:
        told.append(
            f"a side differs from itself by up to {reach:.1%} (limit {limits.noise:.1%}): "
            "close other programs, or play longer rounds"
        )
    held = sorted({reason for item in rounds for reason in item.host.throttled})
    told.extend(held)
    base, head = _unsettled(rounds)
    if min(base, head) > len(rounds) / 2:
        told.append(f"frame times did not settle in {base + head} of {2 * len(rounds)} warm-ups")
    return told


def _unsettled(rounds: Sequence[Round]) -> tuple[int, int]:
    """In how many rounds the base, and the head, did not settle."""
    return sum(not item.base.settled for item in rounds), sum(not item.head.settled for item in rounds)


def _one_unsettled(rounds: Sequence[Round]) -> tuple[str, ...]:
    """Says that one side alone seldom settles: both had the same machine, so that is the side's own."""
    base, head = _unsettled(rounds)
    half = len(rounds) / 2
    if (base > half) == (head > half):
        return ()
    side, count, other = ("head", head, base) if head > half else ("base", base, head)
    return (
        f"the {side}'s frame times did not settle in {count} of {len(rounds)} warm-ups, the other side's in "
        f"{other}: its figures may be of a start that goes on",
    )


def _crowd(rounds: Sequence[Round], quiet: int, limits: Limits) -> str:
    foreign = statistics.median(item.host.foreign or 0.0 for item in rounds if disturbed(item, limits))
    return (
        f"other processes use {foreign:.2f} cores (limit {limits.foreign:.2f}) "
        f"in {len(rounds) - quiet} of {len(rounds)} rounds"
    )


def _overall(compared: Sequence[Compared], noise: Sequence[str]) -> Verdict:
    """FAIL where a figure that decides fails, INCONCLUSIVE where one is open, else what the medians say.

    The 95th percentile has the wider interval: that it cannot rule a slowdown out is no news, that it shows
    one is. A noisy machine gives no verdict at all.
    """
    if noise:
        return Verdict.NOISY
    if any(item.decides and item.verdict is Verdict.FAIL for item in compared):
        return Verdict.FAIL
    if any(item.what != "p95" and item.verdict is Verdict.INCONCLUSIVE for item in compared):
        return Verdict.INCONCLUSIVE
    return next(item.verdict for item in compared if item.what == "median")

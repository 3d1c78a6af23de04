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

IDLE = 0.25
"""Cores' worth of processor time that a side may use between its turns before that is told."""

_WIDE = ("p95", "total")
"""Figures that a host's stalls alone make wide: they fail, and leave nothing open."""

DRIFT = 0.01
"""What a side's frames may become quicker or slower by within its rounds before that is told."""


@dataclass(frozen=True)
class Limits:
    """When a difference counts. Shares: 0.03 is 3 %.

    Attributes:
        fail: the estimate of a slowdown that fails.
        least: the whole interval of a slowdown that fails lies above this.
        confidence: of the intervals, over rounds.
        noise: how far from zero the interval of what a side differs from itself by may reach; a machine is
            too noisy where both sides' reach beyond, and that of both together.
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
            ``p95``, ``total`` (all of a round's time over its frames) or ``miss rate``.
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
        self_difference: how far the interval of what the sides differ from themselves by reaches from zero,
            both sides together: what two equal ones would differ by here.
        own_differences: the same of the base alone, and of the head.
        told: what is to be known of one side, and says nothing against the machine.
        rounds: that the figures are made of.
        set_aside: others, in which other processes worked.
    """

    verdict: Verdict
    compared: tuple[Compared, ...]
    noise: tuple[str, ...]
    self_difference: float
    own_differences: tuple[float, float]
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
        _ratio("total", [item.total for item in rounds], limits, decides=True),
    ]
    if deadline is not None:
        compared.append(_misses(rounds, limits, deadline))
    reach = _reach([item.noise for item in rounds], limits)
    own = tuple(
        _reach([side.noise for side in sides], limits) for sides in zip(*map(_sides, rounds), strict=True)
    )
    noise += _noise(rounds, (reach, *own), limits)
    told = (
        *_one_unsettled(rounds),
        *_one_unsteady(own, limits),
        *_one_busy(rounds),
        *_drifting(rounds, limits),
        *_open(compared, rounds, limits),
        *_not_ruled_out(compared, limits),
        *_not_improved(compared),
    )
    if noise:  # no figure of such a machine is a verdict, however clear it looks
        compared = [replace(item, verdict=Verdict.NOISY) for item in compared]
    verdict = _overall(compared, noise)
    return Judgement(
        verdict, tuple(compared), tuple(noise), reach, (own[0], own[1]), len(rounds), set_aside, told
    )


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


def _reach(values: Sequence[float], limits: Limits) -> float:
    """How far from zero the interval of the values' centre reaches."""
    found = centre(values, limits.confidence)
    return max(abs(found.low), abs(found.high))


def _noise(rounds: Sequence[Round], reaches: Sequence[float], limits: Limits) -> list[str]:
    """Why the machine is not fit.

    Both sides have the same one, so it is the machine's doing where both differ from themselves. One that
    does so by itself may be a change that made it unsteady: no reason to refuse a verdict. What meets both
    sides at once, and so not their ratio, is no noise either.

    Args:
        reaches: of both sides together, of the base and of the head.
    """
    told = []
    if (reach := min(reaches)) > limits.noise:
        told.append(
            f"both sides differ from themselves by up to {reach:.1%} (limit {limits.noise:.1%}): "
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


def _one_unsteady(own: Sequence[float], limits: Limits) -> tuple[str, ...]:
    """Says that one side alone differs from itself: see ``_noise``."""
    base, head = own
    if (base > limits.noise) == (head > limits.noise):
        return ()
    side, much, other = ("head", head, base) if head > base else ("base", base, head)
    return (
        f"the {side} differs from itself by up to {much:.1%}, the other side by {other:.1%}: "
        "that is its own, not the machine's",
    )


def _one_busy(rounds: Sequence[Round]) -> tuple[str, ...]:
    """Says which sides work on while it is not their turn: the other one has to do with what is left."""
    told = []
    for name, sides in zip(("base", "head"), zip(*map(_sides, rounds), strict=True), strict=True):
        cores = statistics.median(side.idle_cores for side in sides)
        if cores > IDLE:
            told.append(
                f"the {name} uses {cores:.2f} cores between its turns: that may slow the other side down"
            )
    return tuple(told)


def _not_ruled_out(compared: Sequence[Compared], limits: Limits) -> tuple[str, ...]:
    """Says that stalls hide what all frames together take: few frames decide it."""
    return tuple(
        "the total is not judged, a few long frames make it too uneven: a rise of more than "
        f"{limits.fail:.0%}, up to {item.high:.1%}, is not ruled out"
        for item in compared
        if item.what == "total" and item.verdict is Verdict.INCONCLUSIVE
    )


def _slower(compared: Sequence[Compared]) -> list[Compared]:
    """Figures that decide and surely rise, however little."""
    return [item for item in compared if item.decides and item.low > 0]


def _not_improved(compared: Sequence[Compared]) -> tuple[str, ...]:
    """Says why quicker medians are no improvement."""
    if compared[0].verdict is not Verdict.IMPROVED or not (slower := _slower(compared)):
        return ()
    figures = ", ".join(f"{item.what} {item.estimate:+.1%}" for item in slower)
    return (f"the head's median is {-compared[0].estimate:.1%} shorter, but other figures rise: {figures}",)


def _crowd(rounds: Sequence[Round], quiet: int, limits: Limits) -> str:
    foreign = statistics.median(item.host.foreign or 0.0 for item in rounds if disturbed(item, limits))
    return (
        f"other processes use {foreign:.2f} cores (limit {limits.foreign:.2f}) "
        f"in {len(rounds) - quiet} of {len(rounds)} rounds"
    )


def _overall(compared: Sequence[Compared], noise: Sequence[str]) -> Verdict:
    """FAIL where a figure that decides fails, INCONCLUSIVE where one is open, else what the medians say.

    The 95th percentile and the total have wider intervals, which few frames make: that they cannot rule a
    slowdown out is no news, that they show one is. A head whose medians are quicker while another figure
    surely rises has not improved. A noisy machine gives no verdict at all.
    """
    if noise:
        return Verdict.NOISY
    if any(item.decides and item.verdict is Verdict.FAIL for item in compared):
        return Verdict.FAIL
    if any(item.what not in _WIDE and item.verdict is Verdict.INCONCLUSIVE for item in compared):
        return Verdict.INCONCLUSIVE
    median = next(item.verdict for item in compared if item.what == "median")
    return Verdict.PASS if median is Verdict.IMPROVED and _slower(compared) else median

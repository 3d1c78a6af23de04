"""One round: two fresh processes that take turns, A B B A or B A A B as a seeded coin says.

What differs from process to process (where memory lies, how a thread pool was laid out) differs between
rounds, so rounds are what an interval is made of, never frames. What drifts inside a round (clocks, caches,
another process) meets both sides alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from v2v_export.bench.host import HostSpan, HostWatch
from v2v_export.compare.side import Hello, Worker

BASE, HEAD = "base", "head"

WARM_FRAMES = 600
"""Frames that a side gets to settle in, in periods of its program at least ``WARM_PERIODS``."""

WARM_PERIODS = 60

WARM_SECONDS = 3.0
"""Seconds that a side gets, once there are frames enough to judge by: a comparison of 30 ms a frame, extended
and never settling, then ends within 5 minutes."""


@dataclass(frozen=True)
class Pace:
    """How long a round plays.

    Turns are many and short. What disturbs a machine lasts some tenths of a second: it then meets both sides,
    where it would fill one long turn of one of them (docs/performance.md has the measurement).

    Attributes:
        cycles: times that both sides have two turns each.
        turn_seconds: what a turn should take; raised to a whole period, or ``least_periods`` of them.
        least_periods: whole periods in a turn, at least.
    """

    cycles: int = 5
    turn_seconds: float = 0.04
    least_periods: int = 1


@dataclass(frozen=True)
class Turn:
    """One turn of one side.

    Attributes:
        frame_ms: of each frame, from handed over to in hand.
        total_ms: of the whole turn, work after the last picture included.
    """

    frame_ms: tuple[float, ...]
    total_ms: float


@dataclass(frozen=True)
class SideRound:
    """One side in one round.

    Attributes:
        hello: what it played.
        warm_frames: frames until it settled.
        settled: whether it did.
        turns: in the order of time, two per cycle.
    """

    hello: Hello
    warm_frames: int
    settled: bool
    turns: tuple[Turn, ...]

    def median(self, turns: Sequence[Turn] | None = None) -> float:
        """Milliseconds per frame: the median over whole periods.

        A frame that refreshes a reference every third time would never show in a median over single frames.
        """
        chosen = self.turns if turns is None else turns
        means = [np.reshape(turn.frame_ms, (-1, self.hello.period)).mean(axis=1) for turn in chosen]
        return float(np.median(np.concatenate(means)))

    @property
    def p95(self) -> float:
        return float(np.percentile(np.concatenate([turn.frame_ms for turn in self.turns]), 95))

    def miss_rate(self, deadline: float) -> float:
        """Share of frames that took more than ``deadline`` milliseconds."""
        return float(np.mean(np.concatenate([turn.frame_ms for turn in self.turns]) > deadline))

    @property
    def self_difference(self) -> float:
        """log of this side's later turns over its earlier ones: nothing, but for the machine's noise."""
        return math.log(self.median(self.turns[1::2]) / self.median(self.turns[::2]))


@dataclass(frozen=True)
class Round:
    """Both sides, and what the machine did meanwhile.

    Attributes:
        order: one of ``ABBA`` and ``BAAB`` per cycle; A is the base.
    """

    order: tuple[str, ...]
    base: SideRound
    head: SideRound
    host: HostSpan

    @property
    def median(self) -> float:
        """log(head / base) of medians: above 0 the head is slower."""
        return math.log(self.head.median() / self.base.median())

    @property
    def p95(self) -> float:
        """log(head / base) of the 95th percentiles."""
        return math.log(self.head.p95 / self.base.p95)

    def misses(self, deadline: float) -> float:
        """Head's share of late frames less the base's."""
        return self.head.miss_rate(deadline) - self.base.miss_rate(deadline)

    @property
    def noise(self) -> float:
        """What two equal sides differ by: half of the difference of the sides' own differences."""
        return (self.head.self_difference - self.base.self_difference) / 2


def play_round(
    base: Sequence[str],
    head: Sequence[str],
    coin: Random,
    pace: Pace,
    check: Callable[[Hello, Hello], None],
) -> Round:
    """Plays one round.

    Args:
        base, head: the workers' commands.
        check: raises if the two sides cannot be compared; called before anything is played.
    """
    with Worker(BASE, base) as first, Worker(HEAD, head) as second:
        workers = {"A": first, "B": second}
        hellos = {"A": first.hello(), "B": second.hello()}
        check(hellos["A"], hellos["B"])
        warm = {}
        frames = {}
        for side in _coin(coin)[:2]:
            period = hellos[side].period
            most = max(WARM_FRAMES, WARM_PERIODS * period)
            warm[side] = workers[side].ask("warm", most=most, seconds=WARM_SECONDS)
            _check(workers[side], warm[side], ("frames", "settled"), least=0)
            tail = warm[side]["frame_ns"][-5 * period :]
            frames[side] = turn_frames(float(np.mean(tail)) / 1e9 if tail else 0.0, period, pace)
        orders = tuple(_coin(coin) for _ in range(pace.cycles))
        turns: dict[str, list[Turn]] = {"A": [], "B": []}
        watch, own = HostWatch(), 0.0
        for side in "".join(orders):
            answer = workers[side].ask("play", frames=frames[side])
            _check(workers[side], answer, ("total_ns", "cpu_ns"), least=frames[side])
            turns[side].append(_turn(answer))
            own += answer["cpu_ns"] / 1e9
        host = watch.stop(own)
        for worker in workers.values():
            worker.tell("quit")
    made = {
        side: SideRound(hellos[side], warm[side]["frames"], warm[side]["settled"], tuple(turns[side]))
        for side in "AB"
    }
    return Round(orders, made["A"], made["B"], host)


def turn_frames(frame_seconds: float, period: int, pace: Pace) -> int:
    """Frames of one turn: whole periods, as many as fill ``pace.turn_seconds``."""
    wanted = pace.turn_seconds / frame_seconds if frame_seconds > 0 else 0
    return period * max(pace.least_periods, math.ceil(wanted / period))


def _coin(coin: Random) -> str:
    return coin.choice(("ABBA", "BAAB"))


def _check(worker: Worker, answer: dict[str, object], others: Sequence[str], least: int) -> None:
    """Refuses an answer that cannot be reckoned with (V2V-E8203).

    Args:
        others: keys of numbers beside ``frame_ns``.
        least: frames that were to be timed.
    """
    times = answer.get("frame_ns")
    if not isinstance(times, list) or not all(isinstance(ns, int) and ns > 0 for ns in times):
        raise worker.broken("told frame times that are not whole nanoseconds above 0")
    if least and len(times) != least:
        raise worker.broken(f"told {len(times)} frame times for {least} frames")
    if missing := [name for name in others if not isinstance(answer.get(name), int)]:
        raise worker.broken(f"left {', '.join(missing)} out of an answer, or told no number")


def _turn(answer: dict[str, object]) -> Turn:
    frames = answer["frame_ns"]
    total = answer["total_ns"]
    assert isinstance(frames, list)
    assert isinstance(total, int)
    return Turn(tuple(ns / 1e6 for ns in frames), total / 1e6)

"""One round: two fresh processes that take turns, A B B A or B A A B as a seeded coin says.

What differs from process to process (where memory lies, how a thread pool was laid out) differs between
rounds, so rounds are what an interval is made of, never frames. What drifts inside a round (clocks, caches,
another process) meets both sides alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from v2v_export.bench.host import HostSpan, HostWatch
from v2v_export.bench.processes import session_seconds
from v2v_export.compare.late import Count
from v2v_export.compare.side import Hello, Worker

BASE, HEAD = "base", "head"

WARM_FRAMES = 600
"""Frames that a side gets to settle in, in periods of its program at least ``WARM_PERIODS``."""

WARM_PERIODS = 100

WARM_SECONDS = 0.7
"""Seconds that a side gets, once there are as many values as scatter ever asks for. On a machine whose noise
comes in bursts a quarter of all warm-ups does not settle in any time that a comparison has: what is left of a
drift then meets turns of both sides, and is told of all rounds together."""

WARM_PATIENCE = 3.0
"""Seconds that a side gets for so many values, once it was looked at twice: slow frames take longer for them,
and a comparison of 30 ms a frame, extended and never settling, is to end within 5 minutes."""

LATE_SECONDS = 2.0
"""Seconds that a side plays in a round for ``Pace.least_frames``, at most."""


@dataclass(frozen=True)
class Pace:
    """How long a round plays.

    Turns are many and short. What disturbs a machine lasts some tenths of a second: it then meets both sides,
    where it would fill one long turn of one of them (docs/performance.md has the measurement).

    Attributes:
        cycles: times that both sides have two turns each.
        turn_seconds: what a turn should take; raised to a whole period, or ``least_periods`` of them.
        least_periods: whole periods in a turn, at least.
        least_frames: of a side in a round; where turns are so short that they hold fewer, there are more
            cycles, for ``LATE_SECONDS`` at most.
    """

    cycles: int = 5
    turn_seconds: float = 0.04
    least_periods: int = 1
    least_frames: int = 0


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
        idle_cores: processor time that its processes used between its turns, per second of the round; 0
            where the system does not tell.
    """

    hello: Hello
    warm_frames: int
    settled: bool
    turns: tuple[Turn, ...]
    idle_cores: float = 0.0

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

    @property
    def turn_ms(self) -> float:
        """Milliseconds per frame, work after a turn's last picture included: the median over turns."""
        return float(np.median([turn.total_ms / len(turn.frame_ms) for turn in self.turns]))

    @property
    def total_ms(self) -> float:
        """Milliseconds per frame: the mean over all of its turns, where a frame in a hundred that takes long
        shows, as it shows in no median and no percentile."""
        return sum(turn.total_ms for turn in self.turns) / self.frames

    @property
    def frames(self) -> int:
        return sum(len(turn.frame_ms) for turn in self.turns)

    def late(self, deadline: float) -> Count:
        """Frames that took more than ``deadline`` milliseconds."""
        return Count(sum(ms > deadline for turn in self.turns for ms in turn.frame_ms), self.frames)

    @property
    def self_difference(self) -> float:
        """log of this side's every other turn over the ones between: nothing, but for the machine's noise."""
        return math.log(self.median(self.turns[1::2]) / self.median(self.turns[::2]))

    @property
    def noise(self) -> float:
        """``self_difference`` as what two sides like this one differ by: half of a side is compared with the
        other half there, so it is larger by the square root of 2."""
        return self.self_difference / math.sqrt(2)

    @property
    def drift(self) -> float:
        """log of the second half of this side's turns over the first: what its warm-up has left over."""
        half = len(self.turns) // 2
        return math.log(self.median(self.turns[half:]) / self.median(self.turns[:half]))


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

    @property
    def turn(self) -> float:
        """log(head / base) of the times of whole turns."""
        return math.log(self.head.turn_ms / self.base.turn_ms)

    @property
    def total(self) -> float:
        """log(head / base) of all their time over their frames."""
        return math.log(self.head.total_ms / self.base.total_ms)

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
        wanted, seconds = {}, {}
        for side in _coin(coin)[:2]:
            period = hellos[side].period
            most = max(WARM_FRAMES, WARM_PERIODS * period)
            warm[side] = workers[side].ask("warm", most=most, seconds=WARM_SECONDS, patience=WARM_PATIENCE)
            _check(workers[side], warm[side], ("frames", "settled"), least=0)
            tail = warm[side]["frame_ns"][-5 * period :]
            seconds[side] = float(np.mean(tail)) / 1e9 if tail else 0.0
            wanted[side] = turn_frames(seconds[side], period, pace)
        frames = {
            side: shared_frames(wanted[side], max(wanted.values()), hellos[side].period) for side in "AB"
        }
        cycles = round_cycles(min(frames.values()), max(frames[side] * seconds[side] for side in "AB"), pace)
        orders = tuple(_coin(coin) for _ in range(cycles))
        turns: dict[str, list[Turn]] = {"A": [], "B": []}
        used, in_turns = _used(workers), dict.fromkeys("AB", 0.0)
        watch = HostWatch()
        for side in "".join(orders):
            answer = workers[side].ask("play", frames=frames[side])
            _check(workers[side], answer, ("total_ns", "cpu_ns"), least=frames[side])
            if answer["total_ns"] < sum(answer["frame_ns"]):
                raise workers[side].broken("told less time for a turn than for its frames")
            turns[side].append(_turn(answer))
            in_turns[side] += answer["cpu_ns"] / 1e9
        own = _more(used, _used(workers), in_turns)
        host = watch.stop(sum(own.values()))
        for worker in workers.values():
            worker.tell("quit")
    made = {
        side: SideRound(
            hellos[side],
            warm[side]["frames"],
            warm[side]["settled"],
            tuple(turns[side]),
            (own[side] - in_turns[side]) / host.seconds,
        )
        for side in "AB"
    }
    return Round(orders, made["A"], made["B"], host)


def turn_frames(frame_seconds: float, period: int, pace: Pace) -> int:
    """Frames of one turn: whole periods, as many as fill ``pace.turn_seconds``."""
    wanted = pace.turn_seconds / frame_seconds if frame_seconds > 0 else 0
    return period * max(pace.least_periods, math.ceil(wanted / period))


def shared_frames(own: int, larger: int, period: int) -> int:
    """Frames of one side's turn: the larger number of both sides', as whole periods.

    Work after a turn's last picture is shared out over its frames, so two numbers would be a difference. A
    side that takes more than twice the other's time keeps to twice its own number: that difference is no
    matter of a percent, and its turns would have no end.
    """
    return period * math.ceil(min(larger, 2 * own) / period)


def round_cycles(frames: int, turn_seconds: float, pace: Pace) -> int:
    """Cycles of a round: ``pace.cycles``, or as many as hold ``pace.least_frames`` of a side.

    Args:
        frames: of the side's turn that has fewer.
        turn_seconds: what the longer turn takes.
    """
    wanted = math.ceil(pace.least_frames / (2 * frames))
    room = math.floor(LATE_SECONDS / (2 * turn_seconds)) if turn_seconds > 0 else wanted
    return max(pace.cycles, min(wanted, room))


def _used(workers: Mapping[str, Worker]) -> dict[str, float] | None:
    """Processor time of each side so far, all of its processes; None where the system does not tell."""
    told = session_seconds([worker.pid for worker in workers.values()])
    return None if told is None else {side: told[worker.pid] for side, worker in workers.items()}


def _more(
    before: Mapping[str, float] | None, after: Mapping[str, float] | None, least: Mapping[str, float]
) -> Mapping[str, float]:
    """Processor time that each side used between two looks; ``least`` (what it told itself) without them."""
    if before is None or after is None:
        return least
    return {side: max(least[side], after[side] - before[side]) for side in least}


def _coin(coin: Random) -> str:
    return coin.choice(("ABBA", "BAAB"))


def _check(worker: Worker, answer: dict[str, object], others: Sequence[str], least: int) -> None:
    """Refuses an answer that cannot be reckoned with (V2V-E8203).

    Args:
        others: keys of numbers beside ``frame_ns``.
        least: frames that were to be timed.
    """
    times = answer.get("frame_ns")
    if not isinstance(times, list) or not all(type(ns) is int and ns > 0 for ns in times):
        raise worker.broken("told frame times that are not whole nanoseconds above 0")
    if least and len(times) != least:
        raise worker.broken(f"told {len(times)} frame times for {least} frames")
    wrong = [name for name in others if not isinstance(said := answer.get(name), int) or said < 0]
    if wrong:
        raise worker.broken(f"left {', '.join(wrong)} out of an answer, or told no number from 0 on")


def _turn(answer: dict[str, object]) -> Turn:
    frames = answer["frame_ns"]
    total = answer["total_ns"]
    assert isinstance(frames, list)
    assert isinstance(total, int)
    return Turn(tuple(ns / 1e6 for ns in frames), total / 1e6)

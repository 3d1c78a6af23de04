"""What a benchmark found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from v2v_export.bench.deadline import LateFrames
from v2v_export.bench.machine import Machine
from v2v_export.bench.statistics import P95_RUNS, CallTimes, Latency, Ratio
from v2v_export.reports.junit import Case

STREAM, TEACHER, EAGER, COMPILED = "stream", "full teacher", "PyTorch eager", "torch.compile"
"""The names of the sides."""

SIDE_HEADINGS = ("frames/s", "p50 ms", "p95 ms", "p99 ms", "worst ms", "jitter ms")
CALL_HEADINGS = ("runs", "p50 ms", "p95 ms", "p99 ms", "worst ms", "jitter ms")

UNSETTLED = "its times had not settled before: a longer run may say otherwise"
"""What is said of a deadline that was judged by times that were still on their way."""


class Verdict(StrEnum):
    """What a benchmark says of its deadline."""

    KEPT = "KEPT"
    MISSED = "MISSED"
    NOISY = "NOISY"
    """The machine was not fit to judge on; see ``BenchReport.noise``."""
    OPEN = "OPEN"
    """So few frames leave open whether more of them are late than may be; see ``deadline``."""


@dataclass(frozen=True)
class BenchReport:
    """One run.

    Attributes:
        target: what was played, ``<profile>.<backend>``.
        size: height and width of the frames.
        conditions: what was measured how, in words: two runs' times are comparable where all of it, the
            machine and the target are equal.
        sides: side -> its times.
        ratios: how many times as long each other side takes as the stream.
        calls: ``phase/call`` -> times of its runs, measured apart with late calls inline.
        call_frames: frames that the calls were timed over: what an average frame takes of each comes from it.
        left_out: side -> why it was not measured.
        deadline: milliseconds that a frame may take, if asked for.
        misses: side -> frames over the deadline.
        series: side -> milliseconds of every measured frame, in order.
        turns: side -> milliseconds per frame, the median over its turns of whole periods.
        warm_frames, settled: side -> frames before the measured ones, and whether their times had settled.
        noise: why the machine was not fit to judge on while the sides were measured; empty if it was.
        roofline: graph -> the least milliseconds that one run could take on ``roofline_of``, the target's
            profile; empty where the profile or a graph has no figures for it.
        graph_of: ``phase/call`` -> graph.
    """

    bundle: str
    identity: str
    target: str
    size: tuple[int, int]
    blocks: int
    machine: Machine
    sides: Mapping[str, Latency]
    ratios: tuple[Ratio, ...]
    calls: Mapping[str, CallTimes]
    left_out: Mapping[str, str]
    deadline: float | None = None
    misses: Mapping[str, int] | None = None
    series: Mapping[str, Sequence[float]] = field(default_factory=dict)
    turns: Mapping[str, float] = field(default_factory=dict)
    warm_frames: Mapping[str, int] = field(default_factory=dict)
    settled: Mapping[str, bool] = field(default_factory=dict)
    roofline: Mapping[str, float] = field(default_factory=dict)
    roofline_of: str = ""
    graph_of: Mapping[str, str] = field(default_factory=dict)
    call_frames: int = 1
    conditions: Mapping[str, str] = field(default_factory=dict)
    noise: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        """Whether the stream keeps its deadline in 95 of 100 frames; None without one."""
        if self.late is None:
            return None
        if self.noise:
            return Verdict.NOISY
        return {True: Verdict.KEPT, False: Verdict.MISSED, None: Verdict.OPEN}[self.late.kept]

    @property
    def late(self) -> LateFrames | None:
        """The stream's frames over the deadline; None without one."""
        return None if self.deadline is None else LateFrames.of(self.series[STREAM], self.deadline)

    @property
    def judged(self) -> str:
        """The verdict in words; empty without one."""
        if self.verdict is None:
            return ""
        if self.verdict is Verdict.NOISY:
            return f"NOISY, the deadline is not judged: {'; '.join(self.noise)}"
        if self.verdict is Verdict.OPEN:
            return f"OPEN: {self.late}; a longer run tells (--blocks, --frames)"
        return (
            f"{self.verdict}: {self.late}; {UNSETTLED}" if self.unsettled else f"{self.verdict}: {self.late}"
        )

    @property
    def unsettled(self) -> bool:
        """Whether the deadline was judged, and by times of the stream that had not settled before."""
        return self.verdict in (Verdict.KEPT, Verdict.MISSED) and not self.settled.get(STREAM, True)

    @property
    def passed(self) -> bool:
        """Whether there is nothing to hold against the stream: only a missed deadline is."""
        return self.verdict is not Verdict.MISSED

    def per_frame(self, name: str) -> float:
        """Milliseconds that an average frame spends in a call: those of one run, times runs a frame."""
        call = self.calls[name]
        return call.p50 * call.runs / self.call_frames

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        told = asdict(self)
        told["machine"]["fingerprint"] = self.machine.fingerprint
        told["ratios"] = [
            {**asdict(ratio), "conclusive": ratio.conclusive, "text": str(ratio)} for ratio in self.ratios
        ]
        for name, side in self.sides.items():
            told["sides"][name]["p95"] = p95_of(side)
        told["late"] = None if self.late is None else asdict(self.late)
        told["verdict"] = self.verdict
        told["passed"] = self.passed
        return told


def cases(report: BenchReport, *, strict: bool = False) -> list[Case]:
    """What a CI system lists: every side's figures, and the deadline where there is one.

    Args:
        strict: a deadline that could not be judged is a failure, as the exit status says then.
    """
    made = [
        Case(
            name,
            side.mean * side.frames / 1e3,
            output=f"p50 {side.p50:.3f}, p95 {_ms(p95_of(side), 3)}, worst {side.worst:.3f} ms",
        )
        for name, side in report.sides.items()
    ]
    if report.deadline is not None:
        unknown = report.verdict in (Verdict.NOISY, Verdict.OPEN)
        failed = not report.passed or (strict and unknown)
        words = report.judged
        failure, skipped = words if failed else None, words if unknown and not failed else None
        made.append(Case("deadline", failure=failure, skipped=skipped, output=words))
    if report.unsettled and report.passed:
        # CI systems show no words of a case that passed.
        made.append(Case("deadline: warm-up", skipped=report.judged))
    return made + [Case(name, skipped=reason) for name, reason in report.left_out.items()]


def call_cells(call: CallTimes) -> tuple[str, ...]:
    """A call's figures under ``CALL_HEADINGS``; "too few" where the sample is too small for one."""
    figures = (call.p50, call.p95, call.p99, call.worst, call.jitter if call.runs > 1 else None)
    return (str(call.runs), *map(_ms, figures))


def p95_of(side: Latency) -> float | None:
    """A side's 95th percentile, None of fewer frames than ``P95_RUNS``: no five of them lie beyond it."""
    return side.p95 if side.frames >= P95_RUNS else None


def side_cells(side: Latency) -> tuple[str, ...]:
    """A side's figures under ``SIDE_HEADINGS``, as ``call_cells``."""
    return tuple(map(_ms, (side.fps, side.p50, p95_of(side), side.p99, side.worst, side.jitter)))


def _ms(figure: float | None, digits: int = 2) -> str:
    return "too few" if figure is None else f"{figure:.{digits}f}"

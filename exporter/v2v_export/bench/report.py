"""What a benchmark found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from v2v_export.bench.machine import Machine
from v2v_export.bench.statistics import CallTimes, Latency, Ratio
from v2v_export.reports.junit import Case

STREAM, TEACHER, EAGER, COMPILED = "stream", "full teacher", "PyTorch eager", "torch.compile"
"""The names of the sides."""

SIDE_HEADINGS = ("frames/s", "p50 ms", "p95 ms", "p99 ms", "worst ms", "jitter ms")
CALL_HEADINGS = ("runs", "p50 ms", "p95 ms", "p99 ms", "worst ms", "jitter ms")


@dataclass(frozen=True)
class BenchReport:
    """One run.

    Attributes:
        target: what was played, ``<profile>.<backend>``.
        size: height and width of the frames.
        sides: side -> its times.
        ratios: how many times as long each other side takes as the stream.
        calls: ``phase/call`` -> times of its runs, measured apart with late calls inline.
        call_frames: frames that the calls were timed over: what an average frame takes of each comes from it.
        left_out: side -> why it was not measured.
        deadline: milliseconds that a frame may take, if asked for.
        misses: side -> frames over the deadline.
        series: side -> milliseconds of every measured frame, in order.
        warm_frames, settled: side -> frames before the measured ones, and whether their times had settled.
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
    warm_frames: Mapping[str, int] = field(default_factory=dict)
    settled: Mapping[str, bool] = field(default_factory=dict)
    roofline: Mapping[str, float] = field(default_factory=dict)
    roofline_of: str = ""
    graph_of: Mapping[str, str] = field(default_factory=dict)
    call_frames: int = 1

    @property
    def passed(self) -> bool:
        """Whether the stream keeps its deadline in 95 of 100 frames; true without one."""
        return self.deadline is None or self.sides[STREAM].p95 <= self.deadline

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
        told["passed"] = self.passed
        return told


def cases(report: BenchReport) -> list[Case]:
    """What a CI system lists: every side's figures, and the deadline where there is one."""
    made = [
        Case(
            name,
            side.mean * side.frames / 1e3,
            output=f"p50 {side.p50:.3f} ms, p95 {side.p95:.3f} ms, worst {side.worst:.3f} ms",
        )
        for name, side in report.sides.items()
    ]
    if report.deadline is not None:
        p95 = report.sides[STREAM].p95
        late = f"p95 of the stream is {p95:.3f} ms, the deadline {report.deadline:g} ms"
        made.append(Case("deadline", failure=None if report.passed else late, output=late))
    return made + [Case(name, skipped=reason) for name, reason in report.left_out.items()]


def call_cells(call: CallTimes) -> tuple[str, ...]:
    """A call's figures under ``CALL_HEADINGS``; "too few" where the sample is too small for one."""
    figures = (call.p50, call.p95, call.p99, call.worst, call.jitter)
    return (str(call.runs), *("too few" if ms is None else f"{ms:.2f}" for ms in figures))


def side_cells(side: Latency) -> tuple[str, ...]:
    """A side's figures under ``SIDE_HEADINGS``."""
    p99 = "too few" if side.p99 is None else f"{side.p99:.2f}"
    return (
        f"{side.fps:.2f}",
        f"{side.p50:.2f}",
        f"{side.p95:.2f}",
        p99,
        f"{side.worst:.2f}",
        f"{side.jitter:.2f}",
    )

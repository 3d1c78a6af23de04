"""What a benchmark found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from v2v_export.bench.machine import Machine
from v2v_export.bench.statistics import Latency, Ratio

STREAM, TEACHER, EAGER, COMPILED = "stream", "full teacher", "PyTorch eager", "torch.compile"
"""The names of the sides."""


@dataclass(frozen=True)
class BenchReport:
    """One run.

    Attributes:
        target: what was played, ``<profile>.<backend>``.
        size: height and width of the frames.
        sides: side -> its times.
        ratios: how many times as long each other side takes as the stream.
        calls: ``phase/call`` -> median milliseconds of one run, measured apart with late calls inline.
        left_out: side -> why it was not measured.
        deadline: milliseconds that a frame may take, if asked for.
        misses: side -> frames over the deadline.
    """

    bundle: str
    identity: str
    target: str
    size: tuple[int, int]
    blocks: int
    machine: Machine
    sides: Mapping[str, Latency]
    ratios: tuple[Ratio, ...]
    calls: Mapping[str, float]
    left_out: Mapping[str, str]
    deadline: float | None = None
    misses: Mapping[str, int] | None = None

    @property
    def passed(self) -> bool:
        """Whether the stream keeps its deadline in 95 of 100 frames; true without one."""
        return self.deadline is None or self.sides[STREAM].p95 <= self.deadline

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        told = asdict(self)
        told["machine"]["fingerprint"] = self.machine.fingerprint
        told["ratios"] = [
            {**asdict(ratio), "conclusive": ratio.conclusive, "text": str(ratio)} for ratio in self.ratios
        ]
        told["passed"] = self.passed
        return told

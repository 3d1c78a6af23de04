"""Plays a stream beside the recorded reference, and sums up how far apart the two came."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_export.progress import Progress
from v2v_export.verify.compare import Tolerance
from v2v_export.verify.reference import RecordedReference
from v2v_export.verify.steps import StepCheck, check_steps

from _real.findings import finite
from _real.workshop import TappedStream


@dataclass(frozen=True)
class Played:
    """The largest differences of one run.

    Attributes:
        frames: frames whose float and uint8 picture were both compared.
        wanted: frames that should have been.
        tap: at the float tap, in [-1, 1].
        levels: of the uint8 picture.
        state: of the slots after a step, in their standard deviations; 0 where they were not compared.
        worst_frame: the frame of ``tap``.
        by_graph: graph -> the largest difference in each tensor that it made, in the unit of its kind.
        seconds: per frame, both sides and the comparison.
        failed: the error of a step that did not come to its end.
    """

    frames: int
    wanted: int
    tap: float
    levels: float
    state: float
    worst_frame: int
    by_graph: Mapping[str, Mapping[str, float]]
    seconds: float
    failed: str

    @property
    def whole(self) -> bool:
        """Whether every frame was compared."""
        return self.frames == self.wanted and not self.failed

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        told = asdict(self)
        told["by_graph"] = {
            graph: {tensor: finite(value) for tensor, value in tensors.items()}
            for graph, tensors in self.by_graph.items()
        }
        return {key: finite(value) if isinstance(value, float) else value for key, value in told.items()}


def play(
    tapped: TappedStream,
    reference: RecordedReference,
    frames: NDArray[np.uint8],
    tolerance: Tolerance,
    progress: Progress,
    title: str,
    *,
    forced: bool,
) -> Played:
    """Plays the frames from the start of the stream.

    Args:
        forced: start every step from the reference's state, and compare the state after it.
    """
    checks: list[StepCheck] = []
    tapped.stream.reset()
    begin = time.perf_counter()
    progress.start(title, len(frames))
    for check in check_steps(
        tapped.stream, tapped.events, tapped.taps, reference, frames, tolerance, forced=forced
    ):
        checks.append(check)
        tapped.events.clear()
        progress.step("frames", len(checks), len(frames))
    seconds = time.perf_counter() - begin
    played = summary(checks, len(frames), seconds / len(frames))
    progress.finish("done" if played.whole else "failed", seconds)
    return played


def summary(checks: Iterable[StepCheck], wanted: int, seconds: float) -> Played:
    """The largest differences of a run's checks."""
    largest = {"picture": 0.0, "levels": 0.0, "feature": 0.0}
    by_graph: dict[str, dict[str, float]] = {}
    frames, worst, failed = 0, -1, ""
    for check in checks:
        failed = failed or check.failed
        kinds = {item.kind for _, item in check.differences}
        frames += {"picture", "levels"} <= kinds
        for graph, item in check.differences:
            tensors = by_graph.setdefault(graph or "(state that no graph wrote)", {})
            tensors[item.tensor] = max(tensors.get(item.tensor, 0.0), item.largest)
            # What is neither (a count of frames, say) must not differ at all.
            kind = item.kind if item.kind in largest else "picture"
            if kind == "picture" and (worst < 0 or item.largest > largest[kind]):
                worst = check.frame
            largest[kind] = max(largest[kind], item.largest)
    return Played(
        frames=frames,
        wanted=wanted,
        tap=largest["picture"],
        levels=largest["levels"],
        state=largest["feature"],
        worst_frame=worst,
        by_graph=by_graph,
        seconds=seconds,
        failed=failed,
    )

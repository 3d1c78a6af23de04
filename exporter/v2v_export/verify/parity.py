"""Parity of one target: graphs against modules, steps and streams against the literal reference."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import BackendError, StreamError
from v2v_runtime.manifest.model import Target
from v2v_runtime.selftest import selftest
from v2v_runtime.stream import Stream
from v2v_runtime.trace import Event

from v2v_export.build.selftest import moving_frames
from v2v_export.store import refused_writes
from v2v_export.system import GraphOptions
from v2v_export.verify.compare import Tolerance
from v2v_export.verify.graphs import check_graphs
from v2v_export.verify.poison import check_poison
from v2v_export.verify.report import Miss, Report, SelfTest, first_miss_of_graph, first_miss_of_step
from v2v_export.verify.schedule import MOST_FRAMES, crossed, frames_to_cross
from v2v_export.verify.steps import StepCheck, check_steps
from v2v_export.verify.tapped import Tapped, tapped_copy

if TYPE_CHECKING:
    from v2v_export.recipe import VerifyOptions
    from v2v_export.system import Model

FREE_RUN_SECONDS = 60.0
"""The whole stream is played at build time if it is estimated to take less."""

NOT_HERE = frozenset({"V2V-E4002", "V2V-E4004", "V2V-E4011", "V2V-E4402", "V2V-E4403", "V2V-E4404"})
"""What says that this machine cannot play a target, whatever the target is like: a backend, its provider or
its libraries are not installed, there is no GPU, or another one. Any other refusal is the target's fault."""

FULL_FRAMES = 32
"""``verify --full`` plays at least this many frames, teacher-forced and free-running."""

_KIND = {"spin": False}
"""ONNX Runtime's threads spin while they wait for work, and would take the cores from torch's."""


@dataclass(frozen=True)
class ParityJob:
    """What to verify.

    Attributes:
        bundle: the bundle's folder.
        target: the target's name in it.
        model: gives the model that the bundle was built from.
        options: the variant that the target plays.
        verify: tolerances and frames.
        full: at least ``FULL_FRAMES`` frames both ways, however long it takes.
        progress: told what is being done.
    """

    bundle: Path
    target: str
    model: Callable[[], Model]
    options: GraphOptions
    verify: VerifyOptions
    full: bool = False
    progress: Callable[[str], None] = lambda text: None

    @property
    def tolerance(self) -> Tolerance:
        verify = self.verify
        if self.options.float == "float16":
            return Tolerance(verify.tolerance_float16, verify.levels_float16, "float16")
        return Tolerance(verify.tolerance_float32, verify.levels_float32, "float32")

    @property
    def free_frames(self) -> int:
        """Frames to play free-running."""
        return max(self.verify.frames, FULL_FRAMES if self.full else 0)


def verify_target(job: ParityJob) -> Report:
    """Verifies one target; the report holds the first miss, after which nothing more is looked at."""
    return _Verification(job).run()


class _Verification:
    """One run. Its parts return False after a miss."""

    def __init__(self, job: ParityJob) -> None:
        self.job = job
        self.bundle = Bundle.open(job.bundle)
        self.target = self.bundle.target(job.target)
        self.report = Report(job.target, self.target.variant, job.tolerance, job.full)
        self.program = job.model().program()
        self.forced_frames = self._count_forced_frames()
        (size,) = self.program.inputs.values()
        count = max(self.forced_frames, job.free_frames)
        self.clip = moving_frames(count, size.height, size.width)

    def run(self) -> Report:
        temporary = tempfile.TemporaryDirectory(prefix="v2v-verify-")
        with temporary as folder, refused_writes(Path(folder), "verify", "TMPDIR"):
            judged = self._judged_as()
            passed = self._graphs(judged, Path(folder, "tapped.v2v")) and self._tapped_stream()
        if passed and self._play_target() and judged is not self.target:
            self._on_target()
        return self.report

    def _count_forced_frames(self) -> int:
        needed = frames_to_cross(self.program)
        if self.job.full:
            return max(needed, FULL_FRAMES)
        if needed > MOST_FRAMES:
            self.report.not_verified.append(
                f"the schedule past frame {MOST_FRAMES}: all of it takes {needed} frames; "
                "`v2v-export verify --full` plays them"
            )
        return min(needed, MOST_FRAMES)

    def _judged_as(self) -> Target:
        """How the tapped graphs are played: as the target does where that is ONNX Runtime's CPU provider."""
        target = self.target
        if target.backend == "onnxruntime" and target.options.get("provider", "cpu") == "cpu":
            self.report.played = "ONNX Runtime, CPU provider, as the target does"
            return target
        self.report.played = "its ONNX graphs through ONNX Runtime's CPU provider"
        cpu = {"provider": "cpu"}
        return dataclasses.replace(target, profile="cpu", backend="onnxruntime", options=cpu, provenance={})

    def _graphs(self, judged: Target, root: Path) -> bool:
        """Level 1; makes the tapped copy that level 2 plays."""
        job = self.job
        # Float32 modules judge half precision too.
        specs = list(job.model().graphs(GraphOptions("float32", job.options.lowering)))
        self.tapped = tapped_copy(self.bundle, judged, specs, root)
        checks = check_graphs(specs, self.tapped.graphs, job.options.float, job.tolerance, job.progress)
        for check in checks:
            self.report.graphs.append(check)
            self.report.miss = first_miss_of_graph(check)
            if self.report.miss is not None:
                return False
        return True

    def _tapped_stream(self) -> bool:
        """Levels 2 and 3 and the poison test."""
        self._tell_untapped()
        events: list[Event] = []
        bundle = Bundle.open(self.tapped.root)
        with Stream(bundle, self.tapped.target, options=_KIND, late="inline", trace=events.append) as stream:
            begin = time.perf_counter()
            if not self._steps(stream, events, self.tapped, self.report.steps, forced=True):
                return False
            per_frame = (time.perf_counter() - begin) / self.forced_frames
            self.report.crossed = crossed(self.program, self.forced_frames)
            poison = check_poison(stream, self.clip[: self.forced_frames], self.job.progress)
            self.report.poisoned, self.report.miss = poison
            if self.report.miss is not None:
                return False
            estimate = per_frame * self.job.free_frames
            if estimate > FREE_RUN_SECONDS and not self.job.full:
                self.report.not_verified.append(
                    f"the free-running stream: {self.job.free_frames} frames would take about "
                    f"{estimate:.0f} s (limit {FREE_RUN_SECONDS:.0f} s); `v2v-export verify --full` plays it"
                )
                return True
            return self._steps(stream, events, self.tapped, self.report.stream, forced=False)

    def _steps(
        self,
        stream: Stream,
        events: list[Event],
        tapped: Tapped | None,
        into: list[StepCheck],
        *,
        forced: bool,
    ) -> bool:
        """Plays the clip beside a new reference."""
        stream.reset()
        frames = self.clip[: self.forced_frames if forced else self.job.free_frames]
        reference = self.job.model().reference()
        words = "teacher-forced" if forced else "free-running"
        for check in check_steps(
            stream, events, tapped, reference, frames, self.job.tolerance, forced=forced
        ):
            into.append(check)
            self.job.progress(f"{words} step {len(into)}")
            self.report.miss = first_miss_of_step(check, "step" if forced else "stream")
            if self.report.miss is not None:
                return False
        return True

    def _tell_untapped(self) -> None:
        """Pictures without a float tap are compared as uint8 alone."""
        for phase in self.program.phases:
            for call in phase.calls:
                shown = phase.emit is not None and phase.emit.tensor in call.outputs.values()
                if shown and self.tapped.picture(phase, (call.name,)) is None:
                    text = (
                        f"the float picture of graph {call.graph}: it has no tap, its uint8 output was used"
                    )
                    if text not in self.report.not_verified:
                        self.report.not_verified.append(text)

    def _play_target(self) -> bool:
        """The target as it will be played, with its own engines: the bundle's self-test.

        Returns:
            Whether this machine can play it, and it passed.
        """
        report = self.report
        try:
            stream = Stream(self.bundle, self.target)
        except BackendError as error:
            if error.code not in NOT_HERE:
                report.miss = Miss("selftest", "", "opening the target", str(error))
                return False
            report.not_verified.append(
                f"the engines of {report.target}: built, not run here ({error.seen}); "
                f"run instead: {report.played}"
            )
            return False
        with stream:
            try:
                found = selftest(stream)
            except StreamError as error:
                report.miss = Miss("selftest", "", "self-test", str(error), finite=False)
                return False
        report.selftest = SelfTest(found.frames, found.max_difference, found.tolerance)
        if found.passed:
            return True
        report.miss = Miss(
            "selftest",
            "",
            f"output frame {found.worst_frame} of the self-test",
            f"{found.frames} of {found.expected} frames came out, off by up to {found.max_difference} "
            f"levels, allowed {found.tolerance}",
        )
        return False

    def _on_target(self) -> None:
        """Levels 2 and 3 on the engines of a backend that did not judge above; without taps, so in uint8."""
        events: list[Event] = []
        with Stream(self.bundle, self.target, late="inline", trace=events.append) as stream:
            passed = self._steps(stream, events, None, self.report.on_target, forced=True)
            if passed and self.job.full:
                self._steps(stream, events, None, self.report.on_target, forced=False)

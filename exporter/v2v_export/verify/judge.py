"""The side that plays: exported graphs and the stream they make, held to what PyTorch was recorded to do.

It runs in a process without torch (``child``), and holds one graph's session at a time, or one stream's.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from v2v_runtime.bundle import Bundle
from v2v_runtime.dtypes import numpy_dtype
from v2v_runtime.errors import BackendError, StreamError
from v2v_runtime.manifest.encode import to_json
from v2v_runtime.manifest.model import Target
from v2v_runtime.manifest.reader import read_as
from v2v_runtime.opening import trust_options
from v2v_runtime.selftest import selftest
from v2v_runtime.stream import Stream
from v2v_runtime.trace import Event

from v2v_export.clip import clip_of
from v2v_export.verify.budget import Budget
from v2v_export.verify.compare import Tolerance
from v2v_export.verify.cost import step_macs
from v2v_export.verify.graphs import check_graphs
from v2v_export.verify.poison import check_poison
from v2v_export.verify.reference import RecordedReference
from v2v_export.verify.report import Miss, Report, SelfTest, first_miss_of_graph, first_miss_of_step
from v2v_export.verify.schedule import crossed, steps_to_cross
from v2v_export.verify.sessions import PER_WEIGHT, frugal
from v2v_export.verify.steps import StepCheck, check_steps
from v2v_export.verify.tapped import Tapped, TapSpec, tapped_copy

UNTRUSTED = "V2V-E4401"
NOT_HERE = frozenset(
    {"V2V-E4002", "V2V-E4004", "V2V-E4011", UNTRUSTED, "V2V-E4402", "V2V-E4403", "V2V-E4404"}
)
"""What says that a target cannot be played here, whatever it is like: a backend, its provider or its
libraries are not installed, there is no GPU, or another one, or its engines come from elsewhere and nobody
has said that they are to be trusted. Any other refusal is the target's fault."""

_HOW = "`v2v-export verify --full` plays it; budget_seconds in [verify] is the build's limit"


@dataclass(frozen=True)
class JudgeTask:
    """What to judge, as plain data.

    Attributes:
        bundle: the bundle's folder.
        target: the target's name in it.
        modules, reference: folders of ``modules.record_modules`` and ``reference.Recorder``; empty: not
            recorded.
        scratch: a folder that exists, for the tapped copy.
        graphs: ports and taps of every graph.
        macs: graph -> multiply-adds of one run, where they are known.
        weights: graph -> numbers in its weights.
        frames: frames to play free-running.
        forced: frames that show everything the program does.
        full: however long it takes.
        seconds: that may be spent, about; None: as many as it takes.
        left: what the recording left out, in words.
        trust: hashes of engines, or of targets, from elsewhere that may be loaded (``v2v_runtime.trust``).
    """

    bundle: str
    target: str
    modules: str
    reference: str
    scratch: str
    graphs: tuple[TapSpec, ...]
    macs: Mapping[str, float]
    weights: Mapping[str, int]
    tolerance: Tolerance
    frames: int
    forced: int
    full: bool = False
    seconds: float | None = None
    left: tuple[str, ...] = field(default_factory=tuple)
    trust: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``json`` writes and ``from_json`` reads back."""
        plain = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**plain, "graphs": to_json(self.graphs), "tolerance": dataclasses.asdict(self.tolerance)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> JudgeTask:
        """The task that ``to_json`` wrote."""
        graphs = tuple(read_as(TapSpec, spec) for spec in data["graphs"])
        tolerance = Tolerance(**data["tolerance"])
        words = {name: tuple(data[name]) for name in ("left", "trust")}
        return JudgeTask(**{**data, **words, "graphs": graphs, "tolerance": tolerance})


def judge(task: JudgeTask, progress: Callable[[str], None] = lambda text: None) -> Report:
    """Judges one target; the report holds the first miss, after which nothing more is looked at."""
    return Judge(task, progress).run()


class Judge:
    """One run. Its parts return False after a miss."""

    def __init__(self, task: JudgeTask, progress: Callable[[str], None]) -> None:
        self.task, self.progress = task, progress
        self.bundle = Bundle.open(task.bundle, verify="sizes")
        self.target = self.bundle.target(task.target)
        self.program = self.bundle.manifest.program
        self.report = Report(task.target, self.target.variant, task.tolerance, task.full)
        self.report.not_verified += task.left
        self.budget = Budget(task.seconds)
        self.reference = RecordedReference(Path(task.reference)) if task.reference else None
        self.clip = clip_of(self.program, self.reference.taken if self.reference else 0)

    def run(self) -> Report:
        judged = self._judged_as()
        self.report.as_target = judged is self.target
        if self._graphs(judged, Path(self.task.scratch, "tapped.v2v")) and self._tapped_stream():
            self._play_target()
        return self.report

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
        task = self.task
        self.tapped = tapped_copy(self.bundle, judged, task.graphs, root)
        checks = check_graphs(
            Path(task.modules),
            task.graphs,
            self.tapped.graphs,
            self.bundle.manifest.variants[self.target.variant].float,
            task.tolerance,
            self.budget,
            task.macs,
            task.weights,
            self.report.not_verified,
            self.progress,
        )
        for check in checks:
            self.report.graphs.append(check)
            self.report.miss = first_miss_of_graph(check)
            if self.report.miss is not None:
                break
        place = {spec.name: index for index, spec in enumerate(task.graphs)}
        self.report.graphs.sort(key=lambda check: place[check.graph])
        return self.report.miss is None

    def _tapped_stream(self) -> bool:
        """Levels 2 and 3 and the poison test."""
        self._tell_untapped()
        if self.reference is None:
            return True
        if why := self.budget.refuse(step_macs(self.program, self.task.macs, 0), self._stream_memory()):
            self.report.not_verified.append(f"the stream's steps: the first would take {why}; {_HOW}")
            return True
        events: list[Event] = []
        bundle = Bundle.open(self.tapped.root, verify="sizes")
        target = bundle.target(self.tapped.target)
        with Stream(bundle, target, frugal(target.options), late="inline", trace=events.append) as stream:
            begin = time.perf_counter()
            if not self._steps(stream, events, self.tapped, self.report.steps, forced=True):
                return False
            played = sum(check.frames for check in self.report.steps)
            per_frame = (time.perf_counter() - begin) / max(1, played)
            self._tell_crossed()
            if not self._poison(stream, per_frame, played):
                return False
            return not self._free_run(per_frame) or self._steps(
                stream, events, self.tapped, self.report.stream, forced=False
            )

    def _tell_crossed(self) -> None:
        checks = self.report.steps
        ran = Counter(check.phase for check in checks if not check.skipped)
        self.report.crossed = crossed(self.program, ran)
        if skipped := sum(check.skipped for check in checks):
            self.report.crossed.append(f"{skipped} frames skipped")
            for phase in self.program.phases:
                if phase.skip is not None and ran[phase.name] < (
                    steps := steps_to_cross(self.program, phase)
                ):
                    self.report.not_verified.append(
                        f"phase {phase.name} past step {ran[phase.name]} of the {steps} that show everything:"
                        " the other frames were skipped; `v2v-export verify --full` plays more"
                    )

    def _poison(self, stream: Stream, per_frame: float, played: int) -> bool:
        in_place = any(
            stream.session.in_place(phase.name, call) for phase in self.program.phases for call in phase.calls
        )
        if not in_place:
            return True
        if 2 * per_frame * played > self.budget.left:
            self._leave("steps with poisoned in-place entries", 2 * per_frame * played)
            return True
        self.report.poisoned, self.report.miss = check_poison(stream, self.clip[:played], self.progress)
        return self.report.miss is None

    def _free_run(self, per_frame: float) -> bool:
        """Whether the free-running stream is played."""
        estimate, frames = per_frame * self.task.frames, self.task.frames
        if self.task.full:
            return True
        if not frames or self.reference is None or self.reference.taken < frames:
            self.report.not_verified.append(f"the free-running stream; {_HOW}")
            return False
        if estimate > self.budget.left:
            self._leave(f"the free-running stream, {frames} frames", estimate)
            return False
        return True

    def _steps(
        self,
        stream: Stream,
        events: list[Event],
        tapped: Tapped | None,
        into: list[StepCheck],
        *,
        forced: bool,
    ) -> bool:
        """Plays the clip beside the recorded reference."""
        assert self.reference is not None
        stream.reset()
        known = min(self.task.forced, self.reference.forced_frames)
        frames = self.clip[: known if forced else self.task.frames]
        words = "teacher-forced" if forced else "free-running"
        begin = time.perf_counter()
        for check in check_steps(
            stream, events, tapped, self.reference, frames, self.task.tolerance, forced=forced
        ):
            into.append(check)
            events.clear()
            self.progress(f"{words} step {len(into)}")
            self.report.miss = first_miss_of_step(check, "step" if forced else "stream")
            if self.report.miss is not None:
                return False
            done = sum(one.frames for one in into)
            price = (time.perf_counter() - begin) / len(into)
            if done < len(frames) and price > self.budget.left:
                self._leave(f"{words} steps past frame {done}", price)
                break
        return True

    def _stream_memory(self) -> float:
        """Bytes that the stream is expected to take: the sessions of a phase, and its state twice."""
        loaded = max(
            sum(self.task.weights.get(graph, 0) for graph in {call.graph for call in phase.calls})
            for phase in self.program.phases
        )
        kind = self.bundle.manifest.variants[self.target.variant].float
        state = sum(
            prod(slot.shape) * numpy_dtype(slot.dtype, kind).itemsize for slot in self.program.slots.values()
        )
        return PER_WEIGHT * loaded + 2 * state

    def _leave(self, what: str, price: float) -> None:
        self.report.not_verified.append(
            f"{what}: about {price:.0f} s, and {self.budget.left:.0f} s are left; {_HOW}"
        )

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

    def _play_target(self) -> None:
        """The target as it will be played, with its own engines: the bundle's self-test, and the steps where
        another backend took them above."""
        report, tested = self.report, self.bundle.manifest.selftest is not None
        if not tested:
            report.not_verified.append("the self-test: the bundle carries none (frames = 0 in [verify])")
            if report.as_target:
                return
        try:
            stream = Stream(self.bundle, self.target, options=self._trusted())
        except BackendError as error:
            if error.code not in NOT_HERE:
                report.miss = Miss("selftest", "", "opening the target", str(error))
                return
            report.as_target = False  # whatever ran above, it was not what this target is played by
            how = f"; {error.fix}" if error.code == UNTRUSTED else ""
            report.not_verified.append(
                f"the engines of {report.target}: built, not run here ({error.seen}{how}); "
                f"run instead: {report.played}"
            )
            return
        with stream:
            passed = not tested or self._selftest(stream)
        if passed and not report.as_target:
            self._on_target()

    def _trusted(self) -> dict[str, Any]:
        """Options for the target's own stream."""
        return trust_options(self.bundle, self.target, self.task.trust)

    def _selftest(self, stream: Stream) -> bool:
        report = self.report
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
        if self.reference is None:
            return
        events: list[Event] = []
        options = self._trusted()
        with Stream(self.bundle, self.target, options=options, late="inline", trace=events.append) as stream:
            passed = self._steps(stream, events, None, self.report.on_target, forced=True)
            if passed and self.task.full:
                self._steps(stream, events, None, self.report.on_target, forced=False)

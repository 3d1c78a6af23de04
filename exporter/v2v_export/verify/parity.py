"""Parity of one target: graphs against modules, steps and streams against the literal reference."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import BackendError, StreamError
from v2v_runtime.manifest.model import Program, Target
from v2v_runtime.selftest import selftest
from v2v_runtime.stream import Stream
from v2v_runtime.trace import Event

from v2v_export.build.selftest import moving_frames
from v2v_export.system import GraphOptions, GraphSpec
from v2v_export.verify.compare import Tolerance
from v2v_export.verify.graphs import check_graphs
from v2v_export.verify.report import Miss, Report, SelfTest, first_miss_of_graph, first_miss_of_step
from v2v_export.verify.schedule import MOST_FRAMES, crossed, frames_to_cross
from v2v_export.verify.steps import check_steps
from v2v_export.verify.tapped import Tapped, tapped_copy

if TYPE_CHECKING:
    from v2v_export.recipe import VerifyOptions
    from v2v_export.system import Model

FREE_RUN_SECONDS = 60.0
"""The whole stream is played at build time if it is estimated to take less."""

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


def verify_target(job: ParityJob) -> Report:
    """Verifies one target; the report holds the first miss, after which nothing more is looked at."""
    bundle = Bundle.open(job.bundle)
    target = bundle.target(job.target)
    report = Report(job.target, target.variant, _tolerance(job), job.full)
    judge = GraphOptions("float32", job.options.lowering)
    specs = list(job.model().graphs(judge))
    with tempfile.TemporaryDirectory(prefix="v2v-verify-") as folder:
        tapped = tapped_copy(bundle, _judged_as(target, report), specs, Path(folder, "tapped.v2v"))
        if not _graphs(job, specs, tapped, report):
            return report
        del specs  # with their modules: the reference brings its own
        if not _stream(job, tapped, report):
            return report
    _play_target(bundle, target, report)
    return report


def _tolerance(job: ParityJob) -> Tolerance:
    verify = job.verify
    if job.options.float == "float16":
        return Tolerance(verify.tolerance_float16, verify.levels_float16, "float16")
    return Tolerance(verify.tolerance_float32, verify.levels_float32, "float32")


def _judged_as(target: Target, report: Report) -> Target:
    """How the tapped graphs are played: as the target does where that is ONNX Runtime's CPU provider."""
    provider = target.options.get("provider", "cpu") if target.backend == "onnxruntime" else None
    if provider == "cpu":
        report.played = "ONNX Runtime, CPU provider, as the target does"
        return target
    report.played = "its ONNX graphs through ONNX Runtime's CPU provider"
    return dataclasses.replace(
        target, profile="cpu", backend="onnxruntime", options={"provider": "cpu"}, provenance={}
    )


def _graphs(job: ParityJob, specs: list[GraphSpec], tapped: Tapped, report: Report) -> bool:
    """Level 1; False after a miss."""
    for check in check_graphs(specs, tapped.graphs, job.options.float, report.tolerance, job.progress):
        report.graphs.append(check)
        report.miss = first_miss_of_graph(check)
        if report.miss is not None:
            return False
    return True


def _stream(job: ParityJob, tapped: Tapped, report: Report) -> bool:
    """Levels 2 and 3 and the poison test; False after a miss."""
    model = job.model()
    program = model.program()
    reference = model.reference()
    needed = frames_to_cross(program)
    forced_frames = min(max(needed, FULL_FRAMES if job.full else 0), max(MOST_FRAMES, program.max_frames))
    if needed > forced_frames:
        report.not_verified.append(
            f"the schedule past frame {forced_frames}: all of it takes {needed} frames"
        )
    size = next(iter(program.inputs.values()))
    clip = moving_frames(max(forced_frames, _free_frames(job)), size.height, size.width)
    events: list[Event] = []
    with Stream(
        Bundle.open(tapped.root), tapped.target, options=_KIND, late="inline", trace=events.append
    ) as stream:
        begin = time.perf_counter()
        for check in check_steps(
            stream, events, tapped, reference, clip[:forced_frames], report.tolerance, forced=True
        ):
            job.progress(f"teacher-forced step {len(report.steps) + 1}")
            report.steps.append(check)
            report.miss = first_miss_of_step(check, "step")
            if report.miss is not None:
                return False
        per_frame = (time.perf_counter() - begin) / forced_frames
        report.crossed = crossed(program, forced_frames)
        _tell_untapped(program, tapped, report)
        if not _poison(job, stream, clip[:forced_frames], report):
            return False
        estimate = per_frame * _free_frames(job)
        if estimate > FREE_RUN_SECONDS and not job.full:
            report.not_verified.append(
                f"the free-running stream: {_free_frames(job)} frames would take about {estimate:.0f} s "
                f"(limit {FREE_RUN_SECONDS:.0f} s); `v2v-export verify --full` plays it"
            )
            return True
        stream.reset()
        for check in check_steps(
            stream, events, tapped, reference, clip[: _free_frames(job)], report.tolerance, forced=False
        ):
            job.progress(f"free-running step {len(report.stream) + 1}")
            report.stream.append(check)
            report.miss = first_miss_of_step(check, "stream")
            if report.miss is not None:
                return False
    return True


def _free_frames(job: ParityJob) -> int:
    return max(job.verify.frames, FULL_FRAMES if job.full else 0)


def _tell_untapped(program: Program, tapped: Tapped, report: Report) -> None:
    """Phases that emit pictures without a float tap are compared as uint8 alone."""
    for phase in program.phases:
        makers = [
            call
            for call in phase.calls
            if phase.emit is not None and phase.emit.tensor in call.outputs.values()
        ]
        for call in makers:
            if tapped.picture(phase, (call.name,)) is None:
                report.not_verified.append(
                    f"the float picture of graph {call.graph}: it has no tap; its uint8 output was compared"
                )


def _poison(job: ParityJob, stream: Stream, clip: NDArray[np.uint8], report: Report) -> bool:
    """Plays steps with the entries that they overwrite in place set to NaN, and without: no difference."""
    phases = {phase.name: phase for phase in stream.session.program.phases}
    in_place = any(
        stream.session.in_place(phase.name, call) for phase in phases.values() for call in phase.calls
    )
    if not in_place:
        return True
    stream.reset()
    for index, frame in enumerate(clip):
        job.progress(f"poisoned step {index + 1}")
        before = stream.snapshot()
        plain = _step(stream, frame)
        if len(before.staged) + 1 < phases[before.phase].gather:
            continue
        stream.restore(before)
        calls = stream.poison_in_place()
        where = f"frame {index}, in-place calls {', '.join(calls)}"
        try:
            poisoned = _step(stream, frame)
        except StreamError as error:
            report.miss = Miss("poison", "", where, str(error), finite=False)
            return False
        for name, value in plain.items():
            if value.tobytes() != poisoned[name].tobytes():
                what = f"{name} depends on an entry that this step overwrites in place"
                report.miss = Miss("poison", "", where, what)
                return False
        report.poisoned += bool(calls)
    return True


def _step(stream: Stream, frame: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Everything that one push makes: pictures and slots."""
    pictures = [output.rgb8 for output in stream.push(frame)]
    return {**{f"picture {i}": p for i, p in enumerate(pictures)}, **stream.slots()}


def _play_target(bundle: Bundle, target: Target, report: Report) -> None:
    """The target as it will be played, with its own engines: the bundle's self-test, if this machine can."""
    name = f"{target.profile}.{target.backend}"
    try:
        stream = Stream(bundle, target)
    except BackendError as error:
        report.not_verified.append(
            f"the engines of {name}: built, not run here ({error.seen}); run instead: {report.played}"
        )
        return
    with stream:
        try:
            found = selftest(stream)
        except StreamError as error:
            report.miss = Miss("selftest", "", "self-test", str(error), finite=False)
            return
    report.selftest = SelfTest(found.frames, found.max_difference, found.tolerance)
    if not found.passed:
        report.miss = Miss(
            "selftest",
            "",
            f"output frame {found.worst_frame} of the self-test",
            f"{found.frames} of {found.expected} frames came out, off by up to {found.max_difference} "
            f"levels, allowed {found.tolerance}",
        )

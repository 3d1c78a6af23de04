"""Benches a bundle: its stream, its full teacher and PyTorch, interleaved in one process."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.bundle import Bundle
from v2v_runtime.opening import trust_options
from v2v_runtime.settling import WarmUp
from v2v_runtime.stream import Stream

from v2v_export.bench.interleave import Side, Track, interleave
from v2v_export.bench.machine import this_machine
from v2v_export.bench.noise import NoiseWatch
from v2v_export.bench.report import COMPILED, EAGER, STREAM, TEACHER, BenchReport
from v2v_export.bench.sides import ReferenceSide, StreamSide, compiled
from v2v_export.bench.statistics import CallTimes, compare
from v2v_export.bench.teacher import teacher_recipe
from v2v_export.build import build
from v2v_export.errors import ModelError, RecipeError
from v2v_export.explain import explain
from v2v_export.profiles import load_profile
from v2v_export.progress import Progress
from v2v_export.recipe import Recipe
from v2v_export.store import Store

ALL = (STREAM, TEACHER, EAGER, COMPILED)
CALL_PERIODS = 120
"""Periods over which calls are timed one by one: more than a 95th percentile needs."""

CALL_SECONDS = 5.0

CALL_WARM_SECONDS = 5.0
"""The longest that a stream whose calls are timed is waited for to settle."""

CLIP_FRAMES = 24
"""Different frames that are played round and round where the user gives no video."""


@dataclass(frozen=True)
class BenchJob:
    """What to measure.

    Attributes:
        bundle: the bundle's folder.
        target: the target to play; None: the only one, or ``cpu``.
        recipe: what the bundle was built from; None: only the stream can be measured.
        sides: names of sides (``ALL``); the stream is always among them.
        frames: frames to play [H, W, 3], round and round.
        blocks: pairs of blocks; more give narrower intervals.
        block_frames: frames per side and block, raised to whole refresh periods.
        deadline: milliseconds that a frame may take.
        store: where the teacher's stages are kept.
        trust: hashes of engines, or of targets, from elsewhere that may be loaded (``v2v_runtime.trust``).
    """

    bundle: Path
    target: str | None
    recipe: Recipe | None
    sides: Sequence[str]
    frames: Sequence[NDArray[np.uint8]]
    blocks: int = 10
    block_frames: int = 10
    deadline: float | None = None
    store: Store | None = None
    trust: tuple[str, ...] = ()


def run_bench(job: BenchJob, progress: Progress) -> BenchReport:
    """Measures and compares.

    Raises:
        BackendError: the target cannot be played here.
        BuildError: the teacher's bundle could not be built.
    """
    bundle = Bundle.open(job.bundle, verify="sizes")
    machine = this_machine()  # its load is that before the run
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        stream = StreamSide(STREAM, job.bundle, job.target, job.trust)
        stack.callback(stream.close)
        target = _target_name(bundle, job.target)
        sides: list[Side] = [stream]
        for name in job.sides:
            if name == STREAM:
                continue
            if job.recipe is None:
                left_out[name] = "no recipe: name it with --recipe"
                continue
            made = _other_side(name, job, job.recipe, target, progress, stack)
            if isinstance(made, str):
                left_out[name] = made
            else:
                sides.append(made)
        progress.start("measure", job.blocks)
        watch = NoiseWatch()
        tracks = interleave(
            sides,
            job.frames,
            blocks=job.blocks,
            block_frames=job.block_frames,
            progress=lambda done, total: progress.step("blocks", done, total),
        )
        progress.finish("done", sum(track.total_seconds for track in tracks.values()))
        calls, call_frames = call_times(bundle, target, job.frames, stream.period, job.trust)
        noise = watch.stop()
    size = next(iter(bundle.manifest.program.inputs.values()))
    return BenchReport(
        bundle=bundle.manifest.name,
        identity=bundle.manifest.identity,
        target=target,
        size=(size.height, size.width),
        blocks=job.blocks,
        machine=machine,
        noise=noise,
        conditions=_conditions(bundle, target, job, tracks),
        sides={name: track.latency for name, track in tracks.items()},
        ratios=tuple(
            compare(STREAM, tracks[STREAM].block_means, name, track.block_means)
            for name, track in tracks.items()
            if name != STREAM
        ),
        calls=calls,
        call_frames=call_frames,
        left_out=left_out,
        deadline=job.deadline,
        misses=_misses(tracks, job.deadline),
        series={name: [1e3 * s for s in track.frame_seconds] for name, track in tracks.items()},
        turns={name: 1e3 * track.turn for name, track in tracks.items()},
        warm_frames={name: track.warm_frames for name, track in tracks.items()},
        settled={name: track.settled for name, track in tracks.items()},
        roofline=_roofline(bundle, target),
        roofline_of=target.partition(".")[0],
        graph_of={
            f"{phase.name}/{call.name}": call.graph
            for phase in bundle.manifest.program.phases
            for call in phase.calls
        },
    )


def _other_side(
    name: str, job: BenchJob, recipe: Recipe, target: str, progress: Progress, stack: ExitStack
) -> Side | str:
    """A side, or why there is none."""
    if name == TEACHER:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="v2v-bench-")))
        profile = load_profile(target.partition(".")[0])
        try:
            out = folder / "teacher.v2v"
            build(teacher_recipe(recipe), out, [profile], store=job.store, progress=progress, verify=False)
        except ModelError as error:
            if error.code == "V2V-E6301":
                return error.seen
            raise
        side = StreamSide(TEACHER, out, target)
        stack.callback(side.close)
        return side
    model = recipe.system.load(recipe.weights, recipe.options, recipe.size)
    program, reference = model.program(), model.reference()
    if name == COMPILED:
        progress.start("torch.compile")
        begin = time.perf_counter()
        why = compiled(reference, job.frames[0], program.phases[0].gather)
        progress.finish("failed" if why else "done", time.perf_counter() - begin)
        if why:
            return why
    return ReferenceSide(name, reference, program)


def _conditions(bundle: Bundle, target: str, job: BenchJob, tracks: Mapping[str, Track]) -> dict[str, str]:
    """See ``BenchReport.conditions``. Sides that take turns with the stream have its caches in between."""
    program = bundle.manifest.program
    sizes = [next(iter(ports.values())) for ports in (program.inputs, program.outputs)]
    clip = hashlib.sha256()
    for frame in job.frames:
        clip.update(np.ascontiguousarray(frame).data)
    known = bundle.targets().get(target)
    threads = 0 if known is None else known.options.get("threads", 0)
    return {
        "system": bundle.manifest.system,
        "size": " -> ".join(f"{size.width} x {size.height}" for size in sizes),
        "clip": f"{len(job.frames)} frames, sha256 {clip.hexdigest()[:16]}",
        "sides": ", ".join(tracks),
        "turns": f"{job.blocks}, of {job.block_frames} frames each",
        "threads": str(threads or "as many as cores"),
    }


def _target_name(bundle: Bundle, name: str | None) -> str:
    """``<profile>.<backend>`` of what a stream without more words plays."""
    from v2v_runtime.opening import choose_target

    target = choose_target(bundle, name)
    return f"{target.profile}.{target.backend}"


def call_times(
    bundle: Bundle,
    target: str,
    frames: Sequence[NDArray[np.uint8]],
    period: int,
    trust: Sequence[str] = (),
) -> tuple[dict[str, CallTimes], int]:
    """Each call by itself, late ones inline, once the stream's times have settled.

    Plays ``CALL_PERIODS`` periods, fewer once ``CALL_SECONDS`` are over, and eight in any case; and over how
    many frames that was. A call that runs before the times have settled alone, in a first phase say, has its
    last run's time.
    """
    clock = time.perf_counter_ns
    before: dict[str, list[float]] = {}
    after: dict[str, list[float]] = {}
    runs: dict[str, int] = {}
    pushed = 0
    options = trust_options(bundle, target, trust)
    with Stream(bundle, target, options=options, late="inline", timing=True) as stream:

        def push(into: dict[str, list[float]]) -> int:
            nonlocal pushed
            begin = clock()
            stream.push(frames[pushed % len(frames)])
            stream.set_params()
            taken_ns, pushed = clock() - begin, pushed + 1
            for name, taken in stream.times.items():
                if taken.runs != runs.get(name, 0):
                    runs[name] = taken.runs
                    into.setdefault(name, []).append(taken.last_ns / 1e6)
            return taken_ns

        warm_up, until = WarmUp(period), clock() + CALL_WARM_SECONDS * 1e9
        while not warm_up.settled and clock() < until:
            warm_up.add([push(before) for _ in range(warm_up.wanted)])
        warm, until = pushed, clock() + CALL_SECONDS * 1e9
        while pushed - warm < CALL_PERIODS * period:
            if pushed - warm >= 8 * period and (pushed - warm) % period == 0 and clock() > until:
                break
            push(after)
    last = {name: times[-1:] for name, times in before.items()}
    return {name: CallTimes.of(times) for name, times in {**last, **after}.items()}, pushed - warm


def _roofline(bundle: Bundle, target: str) -> dict[str, float]:
    """graph -> least milliseconds of one run on the target's profile; empty where that cannot be said."""
    known = bundle.targets().get(target)
    if known is None:
        return {}
    manifest = bundle.manifest
    variant = manifest.variants[known.variant]
    files = {graph: bundle.root / path for graph, path in variant.graphs.items()}
    try:
        profile = load_profile(known.profile)
        found = explain(manifest.program, manifest.graphs, variant, files, profile)
    except (ModelError, RecipeError):
        return {}
    return {graph: item.time.best for graph, item in found.graphs.items()}


def _misses(tracks: dict[str, Track], deadline: float | None) -> dict[str, int] | None:
    if deadline is None:
        return None
    return {
        name: sum(seconds * 1e3 > deadline for seconds in track.frame_seconds)
        for name, track in tracks.items()
    }

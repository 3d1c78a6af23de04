"""The demo: a video in, a bundle built, the translated video out, beside the full teacher, with numbers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from v2v_runtime.atomic import write_file
from v2v_runtime.video import VideoReader, VideoWriter

from v2v_export.bench.interleave import interleave
from v2v_export.bench.machine import Machine, this_machine
from v2v_export.bench.sides import StreamSide
from v2v_export.bench.statistics import Latency, Ratio, compare
from v2v_export.bench.teacher import teacher_recipe
from v2v_export.build import build
from v2v_export.demo import BLOCK_WEIGHTS, HEIGHT, INTERVAL, LEVEL, TEACHER_WEIGHTS, WIDTH
from v2v_export.demo.comparison import STREAM, TEACHER, Comparison
from v2v_export.demo.scenes import demo_clip
from v2v_export.profiles import load_profile
from v2v_export.progress import Progress
from v2v_export.recipe import load_recipe
from v2v_export.store import Store

CLIP_FRAMES, RATE = 150, 25
"""The synthetic clip."""

_TARGET = "cpu.onnxruntime"
_BLOCKS = 10
_TIMED_FRAMES = 48

_RECIPE = """\
# The demo: a small teacher that draws a comic, and its shortcut block. `v2v-export build` reads this file.
name = "demo"
system = "shortcut_v2v"

[frame]
height = {height}
width = {width}

[weights]
teacher = "{teacher}"
shortcut = "{shortcut}"

[options]
level = "{level}"
interval = {interval}           # frames from one refresh of the reference to the next
schedule = "shortcut"{options}

[lowering.onnxruntime]
deform = "gridsample"   # measured: faster than the cpu profile's choice at this network's 32 channels

[targets]
profiles = [{profiles}]
"""


@dataclass(frozen=True)
class DemoJob:
    """What to show.

    Attributes:
        out: the folder that takes everything.
        source: a video; None: a synthetic clip of photographs that the weights have never seen.
        profiles: what to build for; ``cpu``, which plays the demo, is always among them.
        frames: frames to translate at most; None: the whole video, or ``CLIP_FRAMES`` of the synthetic one.
        size: height and width of the frames.
        teacher, shortcut: weights, files or ``random:SEED``.
        options: more of the system's options, as TOML text.
    """

    out: Path
    source: Path | None = None
    profiles: Sequence[str] = ("cpu",)
    frames: int | None = None
    size: tuple[int, int] = (HEIGHT, WIDTH)
    teacher: Path | str = TEACHER_WEIGHTS
    shortcut: Path | str = BLOCK_WEIGHTS
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DemoReport:
    """What came out. PSNR is of the stream's pictures against the full teacher's, in dB.

    Attributes:
        compared: frames that the block drew; the others are the teacher's own and left out of the PSNR.
        psnr, psnr_worst: mean and lowest of single frames; None where pictures are equal.
        speed_up: how many times as fast the stream is, amortised over whole refresh periods.
        build_seconds: of the stream's bundle, with every target and its verification.
        play_seconds: reading, both streams and writing all the videos.
        targets: target -> ``verified`` or ``built``.
    """

    files: dict[str, Path]
    frames: int
    compared: int
    psnr: float | None
    psnr_worst: float | None
    stream: Latency
    teacher: Latency
    speed_up: Ratio
    build_seconds: float
    play_seconds: float
    targets: dict[str, str]
    machine: Machine

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        told = asdict(self)
        told["speed_up"] = {**told["speed_up"], "conclusive": self.speed_up.conclusive}
        return told


def run_demo(job: DemoJob, progress: Progress) -> DemoReport:
    """Builds, measures and translates; see ``DemoJob``.

    Raises:
        MediaError: the video cannot be read or written (V2V-E90xx).
        BuildError, VerdictError: as ``build``.
    """
    job.out.mkdir(parents=True, exist_ok=True)
    recipe = load_recipe(write_recipe(job))
    source = job.source or _write_clip(job, progress)
    # Opened before the long work: a video that cannot be read is told at once.
    VideoReader(source).close()
    store = Store(waiting=lambda kind: progress.note(f"another build makes the same {kind}: waiting"))
    profiles = [load_profile(name) for name in dict.fromkeys(("cpu", *job.profiles))]
    built = build(recipe, job.out / "demo.v2v", profiles, store=store, progress=progress)
    whole = build(
        teacher_recipe(recipe), job.out / "teacher.v2v", profiles[:1], store=store, progress=progress
    )
    stream, teacher, speed_up = _measure(job, source, built.bundle, whole.bundle, progress)
    names = ("input", f"{TEACHER}: {teacher.fps:.1f} frames/s", f"{STREAM}: {stream.fps:.1f} frames/s")
    begin = time.perf_counter()
    progress.start("translate", job.frames)
    with (
        Comparison(job.out, built.bundle, whole.bundle, names) as comparison,
        VideoReader(source, size=job.size) as reader,
    ):
        scores = comparison.play(islice(reader, job.frames), reader, progress)
    seconds = time.perf_counter() - begin
    progress.finish("done", seconds)
    drawn = [score for score in scores if score is not None]
    return DemoReport(
        files={
            "input": source,
            **comparison.files,
            "recipe": job.out / "v2v.toml",
            "bundle": built.bundle,
            "teacher": whole.bundle,
        },
        frames=len(scores),
        compared=len(drawn),
        psnr=_finite(float(np.mean(drawn)) if drawn else math.inf),
        psnr_worst=_finite(min(drawn, default=math.inf)),
        stream=stream,
        teacher=teacher,
        speed_up=speed_up,
        build_seconds=sum(stage.seconds for stage in built.stages),
        play_seconds=seconds,
        targets={name: target.status for name, target in built.targets.items()},
        machine=this_machine(),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def write_recipe(job: DemoJob) -> Path:
    """Writes the recipe, the weights beside it, so that the folder can be moved and built again; its path."""
    weights = {}
    for name, given in (("teacher", job.teacher), ("shortcut", job.shortcut)):
        if isinstance(given, Path):
            write_file(job.out / f"{name}.safetensors", given.read_bytes())
            weights[name] = f"{name}.safetensors"
        else:
            weights[name] = given
    text = _RECIPE.format(
        height=job.size[0],
        width=job.size[1],
        level=LEVEL,
        interval=INTERVAL,
        profiles=", ".join(f'"{name}"' for name in dict.fromkeys(("cpu", *job.profiles))),
        options="".join(f"\n{name} = {value}" for name, value in job.options.items()),
        **weights,
    )
    path = job.out / "v2v.toml"
    write_file(path, text.encode("utf-8"))
    return path


def _write_clip(job: DemoJob, progress: Progress) -> Path:
    """The synthetic clip as a video file, so that it can be looked at too."""
    path = job.out / "input.mp4"
    count = job.frames or CLIP_FRAMES
    progress.start("draw a clip", count)
    begin = time.perf_counter()
    with VideoWriter(path, rate=RATE, quality=10) as writer:
        for index, picture in enumerate(demo_clip(count, *job.size)):
            writer.write(picture, index)
            progress.step("frames", index + 1, count)
    progress.finish("done", time.perf_counter() - begin)
    return path


def _measure(
    job: DemoJob, source: Path, bundle: Path, teacher: Path, progress: Progress
) -> tuple[Latency, Latency, Ratio]:
    """The stream and the full teacher, taking turns on the video's first frames."""
    with VideoReader(source, size=job.size) as reader:
        frames = [frame.rgb for frame in islice(reader, _TIMED_FRAMES)]
    sides = [StreamSide(STREAM, bundle, _TARGET), StreamSide(TEACHER, teacher, _TARGET)]
    progress.start("measure", _BLOCKS)
    try:
        tracks = interleave(
            sides,
            frames,
            blocks=_BLOCKS,
            block_frames=6,
            warmup_frames=6,
            progress=lambda done, total: progress.step("blocks", done, total),
        )
    finally:
        for side in sides:
            side.close()
    progress.finish("done", sum(track.total_seconds for track in tracks.values()))
    mine, other = tracks[STREAM], tracks[TEACHER]
    ratio = compare(STREAM, mine.block_means, TEACHER, other.block_means)
    return mine.latency, other.latency, ratio

"""A real bundle whose frames take so many milliseconds here: a narrow Shortcut-V2V, sized to do so."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from v2v_export.build import build
from v2v_export.compare.side import Worker
from v2v_export.profiles import load_profile
from v2v_export.progress import Progress
from v2v_export.recipe import Recipe
from v2v_export.registry import find_system
from v2v_export.store import Store
from v2v_export.system import FrameSize

from _points.slowed_worker import command

Range = tuple[float, float]
"""Milliseconds that a frame should take, over whole refresh intervals: from, to."""

FIRST_SIZE = FrameSize(64, 96)
TRIES = 5


@dataclass(frozen=True)
class Subject:
    """What is compared with itself."""

    path: Path
    identity: str
    size: FrameSize
    frame_ms: float


def make_subject(
    folder: Path, progress: Progress, wanted_ms: Range, size: FrameSize | None = None
) -> Subject:
    """Builds the bundle.

    Args:
        folder: exists; takes the bundle and the build's stages.
        size: of an earlier run's bundle; None: sought, from the time of a frame at the size before.

    Raises:
        RuntimeError: no size was found at which frames take that long.
    """
    low, high = wanted_ms
    wanted = size or FIRST_SIZE
    for _ in range(TRIES):
        subject = _build(folder, progress, wanted)
        progress.note(f"{wanted.width} x {wanted.height}: {subject.frame_ms:.2f} ms a frame")
        if size is not None or low <= subject.frame_ms <= high:
            return subject
        wanted = _scaled(wanted, (low + high) / 2 / subject.frame_ms)
    raise RuntimeError(f"no size whose frames take {low:g} to {high:g} ms; the last one tried: {wanted}")


def _build(folder: Path, progress: Progress, size: FrameSize) -> Subject:
    system = find_system("shortcut_v2v")
    weights = {"teacher": "random:1", "shortcut": "random:1"}
    recipe = Recipe("operating-points", system, size, weights, system.options(ngf=8, n_blocks=2))
    path = folder / f"points-{size.width}x{size.height}.v2v"
    build(recipe, path, [load_profile("cpu")], store=Store(folder / "store"), progress=progress, verify=False)
    with Worker("the bundle", command(0.0, path)) as worker:
        hello = worker.hello()
        worker.ask("warm", most=600, seconds=10.0)
        times = worker.ask("play", frames=60 * hello.period)["frame_ns"]
        worker.tell("quit")
    periods = [sum(times[i : i + hello.period]) / hello.period for i in range(0, len(times), hello.period)]
    return Subject(path, hello.identity, size, statistics.median(periods) / 1e6)


def _scaled(size: FrameSize, factor: float) -> FrameSize:
    """A size of about ``factor`` times the area, in the multiples of 8 that every level takes."""

    def side(pixels: int) -> int:
        return max(16, 8 * round(pixels * math.sqrt(factor) / 8))

    scaled = FrameSize(side(size.height), side(size.width))
    return scaled if scaled != size else FrameSize(size.height, size.width + (8 if factor > 1 else -8))

"""The frames that programs are tested and measured with, and how many of them each step takes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.manifest.model import Program

REPEATED = 3
"""One in so many frames of a program's clip repeats the one before it, where the program skips frames."""

_WAVES = 6
_DISCS = 4


def moving_frames(count: int, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """``count`` frames uint8 [count, height, width, 3] of textured ground that pans under moving discs.

    All scales of detail, hard edges and motion in several directions, the same on every machine: it takes
    integers from the generator and rounds to eighths before the last rounding, so no library's sine decides a
    level.
    """
    random = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:height, 0:width].astype(np.float64)
    waves = random.integers(-24, 25, (_WAVES, 3, 3))
    discs = random.integers(0, 1000, (_DISCS, 7)) / 1000
    frames = np.empty((count, height, width, 3), np.uint8)
    for t in range(count):
        picture = np.full((height, width, 3), 128.0)
        for number, wave in enumerate(waves):
            for channel, (u, v, phase) in enumerate(wave):
                angle = (u * (rows + 1.5 * t) / height + v * (cols + 2.0 * t) / width) / (1 + number % 3)
                picture[..., channel] += 14 * _triangle(angle + phase / 8)
        for y, x, dy, dx, *colour in discs:
            cy, cx = (y + (dy - 0.5) * t / 16) % 1 * height, (x + (dx - 0.5) * t / 16) % 1 * width
            inside = (rows - cy) ** 2 + (cols - cx) ** 2 < (min(height, width) / 6) ** 2
            picture[inside] = np.array(colour) * 255
        frames[t] = np.floor(np.clip(np.round(picture * 8) / 8, 0, 255)).astype(np.uint8)
    return frames


def clip_of(program: Program, count: int) -> NDArray[np.uint8]:
    """The frames that a program is tested with: ``moving_frames`` of its input's size.

    Where a program skips frames that are like the last one, each third one (``REPEATED``) from the fourth on
    is the one before it again, so that there is something to skip.
    """
    (size,) = program.inputs.values()
    shown = np.arange(count)
    if any(phase.skip for phase in program.phases):
        shown -= shown // REPEATED
    return moving_frames(int(shown[-1]) + 1 if count else 0, size.height, size.width)[shown]


def gathers(program: Program) -> Iterator[int]:
    """The frames that each step takes, from the stream's first step on."""
    for phase in program.phases:
        if phase.steps == "forever":
            while True:
                yield phase.gather
        yield from [phase.gather] * phase.steps


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """A wave of period 1 in [-1, 1], from exact arithmetic alone."""
    y: NDArray[np.float64] = 4 * np.abs(x - np.floor(x) - 0.5) - 1
    return y

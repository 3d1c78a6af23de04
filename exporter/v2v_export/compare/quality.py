"""Faster but wrong is wrong: what the pictures of both sides say, beside how long they took.

Two clips. The self-test frames that a bundle carries come with what the PyTorch reference made of them: a
side's pictures are held to that. And a still picture that moves by whole pixels: a stream without flicker
makes the same picture of it, moved as far, so what is left of the difference between a picture and the one
before it, moved, is the stream's own unrest (the warp error, with the motion known instead of estimated).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import FrameSpec

from v2v_export.build.selftest import moving_frames
from v2v_export.compare.side import Worker

PAN = (2, 3)
"""Pixels down and right that the moving picture moves per frame."""

PAN_FRAMES = 8

EQUAL_DB = 60.0
"""Beyond this PSNR two sets of pictures count as equal: one level in every fourteenth value."""

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Quality:
    """What one side's pictures say.

    Attributes:
        psnr: against the reference's self-test frames, in dB; None where they are equal, or there are none.
        levels: the largest difference from them, in levels; None where there are none.
        tolerance: the largest that the bundle allows.
        frames: of the self-test; ``expected`` of them should have come out.
        warp_error: mean absolute difference of neighbouring pictures with the motion taken out, in levels;
            None where the output is no whole multiple of the input.
    """

    psnr: float | None
    levels: int | None
    tolerance: int | None
    frames: int
    expected: int
    warp_error: float | None


@dataclass(frozen=True)
class QualityLimits:
    """How much worse a head may be.

    Attributes:
        psnr: dB that it may lose against the reference.
        warp: share by which its warp error may rise; ``warp_levels`` may be added to that in any case.
    """

    psnr: float = 0.5
    warp: float = 0.05
    warp_levels: float = 0.1


def measure_quality(worker: Worker, bundle: Bundle, folder: Path) -> Quality:
    """Has a worker make the pictures, and looks at them.

    Args:
        bundle: what the worker plays; its self-test is the judge.
        folder: takes clips and pictures.
    """
    test = bundle.manifest.selftest
    expected = made = np.empty((0, 1, 1, 3), np.uint8)
    psnr = levels = tolerance = None
    if test is not None:
        expected = bundle.blob(test.output)
        made = _emit(worker, bundle.blob(test.input), folder)[: len(expected)]
        common = expected[: len(made)]
        tolerance = max(test.tolerance.values())
        levels = int(np.abs(made.astype(np.int16) - common).max(initial=0))
        psnr = decibels(made, common)
    (taken,), (given,) = bundle.manifest.program.inputs.values(), bundle.manifest.program.outputs.values()
    motion = output_motion(taken, given)
    warp = None
    if motion is not None:
        pan = panned(PAN_FRAMES + bundle.manifest.program.phases[0].gather, taken.height, taken.width)
        warp = warp_error(_emit(worker, pan, folder), motion)
    return Quality(psnr, levels, tolerance, len(made), len(expected), warp)


def worse(base: Quality, head: Quality, limits: QualityLimits | None = None) -> list[str]:
    """What a head's pictures have lost against the base's, in words; empty if nothing."""
    limits = limits or QualityLimits()
    told = []
    if head.frames < head.expected:
        told.append(f"the head gives {head.frames} of {head.expected} self-test frames")
    if head.levels is not None and head.tolerance is not None and head.levels > head.tolerance:
        told.append(
            f"the head's self-test frames are off by up to {head.levels} levels, allowed {head.tolerance}"
        )
    before, now = (min(EQUAL_DB, EQUAL_DB if one.psnr is None else one.psnr) for one in (base, head))
    if now < before - limits.psnr:
        told.append(f"PSNR against the reference's frames is {now:.1f} dB, the base's {before:.1f}")
    if base.warp_error is not None and head.warp_error is not None:
        allowed = base.warp_error * (1 + limits.warp) + limits.warp_levels
        if head.warp_error > allowed:
            told.append(
                f"the warp error is {head.warp_error:.2f} levels, the base's {base.warp_error:.2f} "
                f"(allowed {allowed:.2f}): the stream flickers more"
            )
    return told


def panned(count: int, height: int, width: int) -> Pictures:
    """``count`` views uint8 [count, height, width, 3] of one picture, each ``PAN`` further on."""
    down, right = PAN
    (ground,) = moving_frames(1, height + down * count, width + right * count)
    return np.stack(
        [
            ground[(count - t) * down : (count - t) * down + height, (count - t) * right :][:, :width]
            for t in range(count)
        ]
    )


def output_motion(taken: FrameSpec, given: FrameSpec) -> tuple[int, int] | None:
    """``PAN`` in pixels of the output; None if those are no whole numbers."""
    down, right = PAN[0] * given.height, PAN[1] * given.width
    if down % taken.height or right % taken.width:
        return None
    return down // taken.height, right // taken.width


def warp_error(pictures: Pictures, motion: tuple[int, int]) -> float | None:
    """Mean absolute difference, in levels, of each picture and the one before it moved by ``motion``."""
    if len(pictures) < 2:
        return None
    down, right = motion
    here = pictures[1:, down:, right:].astype(np.int16)
    before = pictures[:-1, : pictures.shape[1] - down, : pictures.shape[2] - right]
    return float(np.abs(here - before).mean())


def decibels(made: Pictures, expected: Pictures) -> float | None:
    """PSNR over all pictures; None where they are equal."""
    error = float(np.mean((made.astype(np.float64) - expected) ** 2)) if made.size else 0.0
    return 10 * math.log10(255**2 / error) if error else None


def _emit(worker: Worker, clip: Pictures, folder: Path) -> Pictures:
    source, to = folder / "quality-in.npy", folder / "quality-out.npy"
    np.save(source, clip, allow_pickle=False)
    worker.ask("emit", to=str(to), clip=str(source))
    made: Pictures = np.load(to, allow_pickle=False)
    return made

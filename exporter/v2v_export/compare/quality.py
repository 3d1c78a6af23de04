"""Faster but wrong is wrong: what the pictures of both sides say, beside how long they took.

The self-test frames that a bundle carries come with what the PyTorch reference made of them: a side's
pictures are held to that. A bundle built from wrong graphs has a wrong reference too, so the head's pictures
are also held to the base's own, of one and the same clip. And a still picture that moves by whole pixels: a
stream without flicker makes the same picture of it, moved as far, so what is left of the difference between
a picture and the one before it, moved, is the stream's own unrest (the warp error, with the motion known
instead of estimated).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import FrameSpec
from v2v_runtime.opening import choose_target

from v2v_export.clip import moving_frames
from v2v_export.compare.side import Worker

PAN = (2, 3)
"""Pixels down and right that the moving picture moves per frame."""

PAN_FRAMES = 8

CLIP_FRAMES = 32
"""Frames of a given clip that the pictures of bundles without a self-test are compared over, at most."""

EQUAL_DB = 60.0
"""Beyond this PSNR two sets of pictures count as equal: one level in every fourteenth value."""

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Quality:
    """What one side's pictures say.

    Attributes:
        psnr: against the reference's self-test frames, in dB; None where they are equal, or there are none.
        levels: the largest difference from them, in levels; None where there are none.
        tolerance: the largest that the bundle allows the float type of what was played.
        frames: pictures that came out of the self-test's frames; ``expected`` is how many those are, since a
            stream that is flushed hands over one for each.
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
class Apart:
    """How far the head's pictures are from the base's own, of one clip.

    Attributes:
        clip: which, in words.
        base_frames, head_frames: that came out.
        psnr: of the head's, in dB; None where they are equal.
        levels: the largest difference.
        tolerance: the largest that the base's bundle allows, or the head's where that tells none: of the two
            float types that were played, what the coarser one may be off; None where neither bundle tells
            any, and nothing is judged.
        meant: the user says that pictures are meant to change: nothing is judged either.
    """

    clip: str
    base_frames: int
    head_frames: int
    psnr: float | None
    levels: int
    tolerance: int | None
    meant: bool = False

    @property
    def loss(self) -> str | None:
        """What is to be held against the head, in words."""
        if self.meant:
            return None
        if self.base_frames != self.head_frames:
            return f"the head makes {self.head_frames} pictures of {self.clip}, the base {self.base_frames}"
        if self.tolerance is None or self.levels <= self.tolerance:
            return None
        return f"the head's pictures of {self.clip} leave the base's: {self._far()}, allowed {self.tolerance}"

    def __str__(self) -> str:
        if not self.levels:
            return f"the head's pictures of {self.clip} equal the base's"
        told = f"the head's pictures of {self.clip} differ from the base's by {self._far()}"
        if self.meant:
            return f"{told}; they are meant to (--pictures-may-differ)"
        return told if self.tolerance is not None else f"{told}; not judged, neither bundle has a tolerance"

    def _far(self) -> str:
        assert self.psnr is not None
        return f"up to {self.levels} levels ({self.psnr:.1f} dB)"


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
    frames = expected = 0
    psnr = levels = tolerance = None
    if test is not None:
        clip, reference = bundle.blob(test.input), bundle.blob(test.output)
        made = _emit(worker, clip, folder)
        frames, expected = len(made), len(clip)
        # The reference is not flushed: what it still owed has nothing to be held to.
        common = min(len(made), len(reference))
        made, reference = made[:common], reference[:common]
        tolerance = test.tolerance[float_type(bundle, worker.said.target)]
        levels = int(np.abs(made.astype(np.int16) - reference).max(initial=0))
        psnr = decibels(made, reference)
    (taken,), (given,) = bundle.manifest.program.inputs.values(), bundle.manifest.program.outputs.values()
    motion = output_motion(taken, given)
    warp = None
    if motion is not None:
        pan = panned(PAN_FRAMES + bundle.manifest.program.phases[0].gather, taken.height, taken.width)
        warp = warp_error(_emit(worker, pan, folder), motion)
    return Quality(psnr, levels, tolerance, frames, expected, warp)


def measure_apart(
    workers: tuple[Worker, Worker],
    bundles: tuple[Bundle, Bundle],
    clip: Pictures | None,
    folder: Path,
    *,
    meant: bool = False,
) -> Apart:
    """Has both sides, base first, make pictures of one clip.

    Args:
        bundles: what they play, with frames of one size; the base's self-test frames are the clip where none
            is given, the head's where it has none, else the picture that moves.
        clip: uint8 [N, H, W, 3]; as many of them are played as the self-test has frames, since the tolerance
            was set for so many and a stream with feedback drifts, and ``CLIP_FRAMES`` without one.
        meant: see ``Apart``.
    """
    known = [
        (name, bundle, bundle.manifest.selftest)
        for name, bundle in zip(("base", "head"), bundles, strict=True)
        if bundle.manifest.selftest is not None
    ]
    played = {float_type(one, worker.said.target) for worker, one in zip(workers, bundles, strict=True)}
    allowed = known[0][2].tolerance if known else {}
    tolerance = max((allowed[name] for name in played if name in allowed), default=None)
    if clip is not None:
        most = len(known[0][1].blob(known[0][2].input)) if known else CLIP_FRAMES
        words, frames = "the given clip", clip[:most]
    elif known:
        name, bundle, test = known[0]
        words, frames = f"the {name}'s self-test frames", bundle.blob(test.input)
    else:
        program = bundles[0].manifest.program
        (size,) = program.inputs.values()
        frames = panned(PAN_FRAMES + program.phases[0].gather, size.height, size.width)
        words = "a moving picture"
    base, head = (_emit(worker, frames, folder) for worker in workers)
    count = min(len(base), len(head))
    levels = int(np.abs(head[:count].astype(np.int16) - base[:count]).max(initial=0))
    psnr = decibels(head[:count], base[:count])
    return Apart(words, len(base), len(head), psnr, levels, tolerance, meant)


def worse(base: Quality, head: Quality, limits: QualityLimits | None = None) -> list[str]:
    """What a head's pictures have lost against the base's, in words; empty if nothing."""
    limits = limits or QualityLimits()
    told = []
    if base.levels is not None and head.levels is None:
        told.append("the head has no self-test frames to be held to, the base has")
    if head.frames != head.expected:
        told.append(f"the head makes {head.frames} pictures of {head.expected} self-test frames")
    if head.levels is not None and head.tolerance is not None and head.levels > head.tolerance:
        told.append(
            f"the head's self-test frames are off by up to {head.levels} levels, allowed {head.tolerance}"
        )
    before, now = (min(EQUAL_DB, EQUAL_DB if one.psnr is None else one.psnr) for one in (base, head))
    if base.levels is not None and head.levels is not None and now < before - limits.psnr:
        told.append(f"PSNR against the reference's frames is {now:.1f} dB, the base's {before:.1f}")
    if base.warp_error is not None and head.warp_error is not None:
        allowed = base.warp_error * (1 + limits.warp) + limits.warp_levels
        if head.warp_error > allowed:
            told.append(
                f"the warp error is {head.warp_error:.2f} levels, the base's {base.warp_error:.2f} "
                f"(allowed {allowed:.2f}): the stream flickers more"
            )
    return told


def float_type(bundle: Bundle, target: str) -> str:
    """What ``"float"`` is in one of a bundle's targets, named in full.

    Raises:
        BundleError: it has no such target (V2V-E1020).
    """
    # A bundle without targets plays its ONNX files, under a target's name.
    chosen = choose_target(bundle, target if bundle.targets() else None)
    return bundle.manifest.variants[chosen.variant].float


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
    """A worker's pictures of a clip, from a reset and flushed.

    Raises:
        BuildError: it made something else (V2V-E8203).
    """
    source, to = folder / "quality-in.npy", folder / "quality-out.npy"
    np.save(source, clip, allow_pickle=False)
    to.unlink(missing_ok=True)
    worker.ask("emit", to=str(to), clip=str(source))
    try:
        made: Pictures = np.load(to, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise worker.broken(f"left no pictures: {error}") from None
    height, width = worker.said.output_height, worker.said.output_width
    if made.dtype != np.uint8 or made.shape[1:] != (height, width, 3):
        wanted = f"uint8 [M, {height}, {width}, 3]"
        raise worker.broken(f"made {made.dtype} {list(made.shape)}, where pictures are {wanted}")
    return made

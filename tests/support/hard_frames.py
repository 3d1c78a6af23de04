"""Frames that streams meet: moving pictures, black, white, one grey, noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from v2v_export.clip import moving_frames
from v2v_runtime import Stream

EPSILON = float(np.finfo(np.float16).eps)

FLAT = (0, 255, 128)
"""Levels of the frames that hold nothing."""


def hard_frames(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """uint8 [count, H, W, 3], in turns of eight: four that move, black, white, grey, and noise."""
    frames = moving_frames(count, height, width)
    noise = np.random.default_rng(6).integers(0, 256, frames.shape, dtype=np.uint8)
    for index in range(count):
        turn = index % 8 - 4
        if 0 <= turn < len(FLAT):
            frames[index] = FLAT[turn]
        elif turn == len(FLAT):
            frames[index] = noise[index]
    return frames


def apart(left: ArrayLike, right: ArrayLike) -> float:
    """The largest difference of two arrays or tensors."""
    return float(np.abs(np.asarray(left, np.float64) - np.asarray(right, np.float64)).max())


class HalfPrecision:
    """A half-precision stream beside the literal reference in float32 and in float16, step by step.

    The reference's own distance from itself in float32 is what half precision costs; see ``hold``.
    """

    def __init__(self) -> None:
        self.latents: list[tuple[float, float]] = []
        self.pictures: list[tuple[float, float]] = []
        self.scale, self.flat = 0.0, 0

    def compare_latents(self, stream: Stream, port: str, wanted: ArrayLike, coarse: ArrayLike) -> None:
        """What ``stream`` computed at ``port`` in this step; nothing of it or of its state may be NaN."""
        found = stream.peek(port)
        assert np.isfinite(found).all()
        assert all(np.isfinite(value).all() for value in stream.slots().values())
        self.scale = max(self.scale, float(np.abs(np.asarray(wanted)).max()))
        self.latents.append((apart(found, wanted), apart(coarse, wanted)))

    def compare_picture(
        self, source: int, shown: NDArray[np.uint8], wanted: NDArray[np.uint8], coarse: NDArray[np.uint8]
    ) -> None:
        """The pictures made of ``hard_frames``' frame ``source``."""
        self.pictures.append((apart(shown, wanted), apart(coarse, wanted)))
        # Of a flat frame something is made: NaN cast to levels would be one level everywhere.
        if source % 8 in range(4, 4 + len(FLAT)):
            self.flat += 1
            assert wanted.std() > 1
            assert shown.std() > 1, source

    def hold(self, *, flat: int, share: float) -> None:
        """The stream's latents are at most twice as far off as the reference's own; so are its pictures, or
        one level.

        Args:
            flat: so many flat frames were among them, at the least.
            share: of the largest latent; the reference's own distance must stay below it, to be a measure of
                anything.
        """
        assert self.flat >= flat
        ours, theirs = (max(column) for column in zip(*self.latents, strict=True))
        assert EPSILON < theirs < share * self.scale
        assert ours <= 2 * theirs
        ours, theirs = (max(column) for column in zip(*self.pictures, strict=True))
        assert ours <= max(1.0, 2 * theirs)

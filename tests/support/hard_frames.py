"""Frames that streams meet: moving pictures, black, white, one grey, noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from v2v_export.clip import moving_frames

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


def apart(left: object, right: object) -> float:
    """The largest difference of two arrays or tensors."""
    return float(np.abs(np.asarray(left, np.float64) - np.asarray(right, np.float64)).max())


def hold_to_half(
    latents: list[tuple[float, float]], pictures: list[tuple[float, float]], most: float
) -> None:
    """Holds a half-precision stream to what half precision costs the literal reference itself.

    Args:
        latents, pictures: of each step, how far the stream and the reference in float16 are from the
            reference in float32; pictures in levels.
        most: what the reference's own distance of latents must stay below, to be a measure of anything.
    """
    ours, theirs = (max(column) for column in zip(*latents, strict=True))
    assert EPSILON < theirs < most
    assert ours <= 2 * theirs
    ours, theirs = (max(column) for column in zip(*pictures, strict=True))
    assert ours <= max(1.0, 2 * theirs)

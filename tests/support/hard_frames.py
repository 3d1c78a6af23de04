"""Frames that streams meet: moving pictures, black, white, one grey, noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from v2v_export.clip import moving_frames

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

"""Pictures of one size into frames of another."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Fit = Literal["stretch", "crop", "pad"]
"""How a picture gets a new size: ``stretch`` each side by itself, ``crop`` what sticks out after filling the
frame (centred), or ``pad`` with black around the whole picture."""


def box(have: tuple[int, int], want: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """(height, width) to scale to: ``want`` itself, the least box that covers it, or the largest in it."""
    if fit == "stretch" or have == want:
        return want
    choose = max if fit == "crop" else min
    scale = choose(Fraction(want[0], have[0]), Fraction(want[1], have[1]))
    return max(1, round(have[0] * scale)), max(1, round(have[1] * scale))


def centred(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Cuts or fills with black to height x width, around the middle."""
    have_h, have_w = picture.shape[:2]
    top, left = max(0, have_h - height) // 2, max(0, have_w - width) // 2
    picture = picture[top : top + height, left : left + width]
    if picture.shape[:2] == (height, width):
        return picture
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas

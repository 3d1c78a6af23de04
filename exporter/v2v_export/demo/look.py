"""The look that the demo's teacher learns: a two-palette comic, computed frame by frame with OpenCV.

Bilateral smoothing, lightness in a few flat tones, each tone painted from a warm palette or a cool one by
the colour that was there, and ink along the edges: the recipe of real-time video abstraction (Winnemoeller,
Olsen and Gooch, SIGGRAPH 2006) with a poster's colours. Two choices make it a fair thing to ask of this
teacher:

* tones are relative to the frame's own mean and spread. The teacher normalises every channel over the picture
  (InstanceNorm), so it cannot know absolute exposure or white balance, and the look does not ask for them;
* every threshold is a smooth ramp. A hard one would turn sensor noise and sub-pixel motion into flicker.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""H x W x 3, uint8, RGB."""

_Plane = npt.NDArray[np.float32]

_WARM = np.array([[34, 20, 66], [136, 30, 82], [222, 76, 56], [252, 172, 84], [255, 240, 204]], np.float32)
_COOL = np.array([[24, 20, 72], [20, 78, 124], [36, 148, 152], [140, 212, 182], [248, 246, 220]], np.float32)
"""RGB of the tones, dark to light; both palettes share ink and paper."""
_INK = np.array([26, 16, 48], np.float32)
_RISER = 3.0
"""Steepness of the staircase of tones: towards 0 a plain ramp, towards infinity a hard one."""


def comic(frame: Picture) -> Picture:
    """Draw one frame as a comic panel: a pure function of the frame, the same shape, uint8 RGB."""
    smooth = frame
    for _ in range(2):
        smooth = cv2.bilateralFilter(smooth, d=7, sigmaColor=40, sigmaSpace=4)
    lab = cv2.cvtColor(np.asarray(smooth, np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    lightness = cv2.GaussianBlur(lab[:, :, 0], (0, 0), 0.8)
    tone = _stairs((_relative(lightness, 12.0) * np.float32(0.26) + np.float32(0.5)) * (len(_WARM) - 1))
    warmth = _relative(cv2.GaussianBlur(lab[:, :, 1] + lab[:, :, 2], (0, 0), 1.5), 8.0)
    warm = (np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(2.2) * (warmth + np.float32(0.25))))[
        :, :, None
    ]
    colour = _paint(_WARM, tone) * warm + _paint(_COOL, tone) * (1 - warm)
    paper = _paper(lightness)[:, :, None]
    return np.asarray(np.clip(np.rint(colour * paper + _INK * (1 - paper)), 0, 255), np.uint8)


def _relative(plane: _Plane, floor: float) -> _Plane:
    """Deviations from the mean in units of the spread; ``floor`` keeps a flat frame's noise from growing."""
    return np.asarray((plane - plane.mean()) / np.float32(max(float(plane.std()), floor)), np.float32)


def _stairs(tone: _Plane) -> _Plane:
    """Soft staircase with a tread at every whole number and a riser between."""
    base = np.floor(tone)
    inside = tone - base - np.float32(0.5)
    rise = np.tanh(np.float32(2 * _RISER) * inside) / np.tanh(np.float32(_RISER))
    return np.asarray(base + np.float32(0.5) + np.float32(0.5) * rise, np.float32)


def _paint(palette: _Plane, tone: _Plane) -> _Plane:
    """Colours of fractional tones: [H, W] -> [H, W, 3], clamped to the palette's ends."""
    tone = np.clip(tone, 0, len(palette) - 1)
    low = np.minimum(tone.astype(np.intp), len(palette) - 2)
    part = (tone - low)[:, :, None]
    return np.asarray(palette[low] * (1 - part) + palette[low + 1] * part, np.float32)


def _paper(lightness: _Plane) -> _Plane:
    """1 where paper shows, 0 under ink: a difference of Gaussians through a soft threshold."""
    edge = cv2.GaussianBlur(lightness, (0, 0), 1.0) - cv2.GaussianBlur(lightness, (0, 0), 2.6)
    return np.asarray(0.5 + 0.5 * np.tanh((edge + np.float32(2.4)) * np.float32(0.7)), np.float32)

"""Pictures side by side under their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from v2v_runtime.atomic import write_file
from v2v_runtime.errors import MediaError

Picture = NDArray[np.uint8]

_GAP = 4
_PAPER, _INK = 24, (235, 235, 235)


def side_by_side(pictures: Sequence[Picture], names: Sequence[str]) -> Picture:
    """One picture uint8 [H + strip, W, 3] of several of the same height, each with its name above it."""
    height = pictures[0].shape[0]
    strip = max(16, height // 9) // 2 * 2
    columns = []
    for picture, name in zip(pictures, names, strict=True):
        column = np.full((strip + height, picture.shape[1], 3), _PAPER, np.uint8)
        column[strip:] = picture
        _write(column, name, strip)
        columns += [column, np.full((strip + height, _GAP, 3), _PAPER, np.uint8)]
    return np.ascontiguousarray(np.concatenate(columns[:-1], axis=1))


def write_png(path: Path, picture: Picture) -> None:
    """Writes a picture uint8 RGB [H, W, 3], whole or not at all.

    Raises:
        MediaError: V2V-E9006.
    """
    good, data = cv2.imencode(".png", picture[..., ::-1])
    if not good:
        raise MediaError("V2V-E9006", f"{path}: OpenCV could not encode a picture of {list(picture.shape)}")
    write_file(path, data.tobytes())


def _write(column: Picture, name: str, strip: int) -> None:
    """The name in the strip, centred, as large as fits."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, strip / 45
    (width, text_height), _ = cv2.getTextSize(name, font, scale, 1)
    room = 0.96 * column.shape[1]
    if width > room:
        scale *= room / width
        (width, text_height), _ = cv2.getTextSize(name, font, scale, 1)
    at = ((column.shape[1] - width) // 2, (strip + text_height) // 2)
    cv2.putText(column, name, at, font, scale, _INK, 1, cv2.LINE_AA)

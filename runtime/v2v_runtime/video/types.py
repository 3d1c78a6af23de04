"""What reader and writer share: frames, PyAV's late import, FFmpeg's words."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v2v_runtime.errors import MediaError


@dataclass(frozen=True)
class VideoFrame:
    """One picture.

    Attributes:
        rgb: uint8 [H, W, 3], C-contiguous, upright.
        pts: presentation time in ticks of ``VideoReader.time_base``; strictly rising.
    """

    rgb: NDArray[np.uint8]
    pts: int


@dataclass(frozen=True)
class VideoInfo:
    """What the container says of its first video stream.

    Attributes:
        height, width: of the upright picture in square pixels, before any fitting.
        rate: average frames per second.
        frames: how many frames there should be; None when the container does not say.
        rotation: degrees that the stored picture is turned counterclockwise for display.
    """

    source: str
    height: int
    width: int
    rate: Fraction
    frames: int | None
    codec: str
    rotation: int


def av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MediaError(
            "V2V-E9001",
            f"video files need PyAV, which does not import here ({error})",
            fix='pip install "v2v-runtime[video]", or feed frames to a Stream yourself',
        ) from error
    return av


def reason(error: BaseException) -> str:
    """FFmpeg's words without its number and the name of the function."""
    return str(getattr(error, "strerror", None) or error)

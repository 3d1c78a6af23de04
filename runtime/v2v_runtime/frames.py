"""Frames in and frames out: what is accepted, and what is handed over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from v2v_runtime.backends.base import Array
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import FrameSpec


@dataclass(frozen=True, slots=True, eq=False)
class OutputFrame:
    """One frame that the stream hands over.

    Attributes:
        rgb8: uint8 [H, W, 3]; the caller's to keep, unless it lies in the caller's own ``out``.
        timestamp: of the frame that was pushed for it.
        index: 0 for the first frame handed over since the last reset, then 1, 2, ...
        skipped: the program's skip emitted the stored frame again.
    """

    rgb8: NDArray[np.uint8]
    timestamp: Any
    index: int
    skipped: bool = False


def checked_frame(frame: Any, spec: FrameSpec) -> Array:
    """The frame, if it is uint8 [H, W, 3] with packed rows.

    Rows may be padded (a crop of a wider picture), as a C caller may pass them; pixels may not: their three
    bytes lie together, and pixels of a row follow one another.

    Raises:
        StreamError: no uint8 array (V2V-E3001), another shape (V2V-E3002), other strides (V2V-E3003).
    """
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8:
        seen = f"type {frame.dtype}" if isinstance(frame, np.ndarray) else f"a {type(frame).__name__}"
        raise StreamError(
            "V2V-E3001", f"the frame is {seen}", "a numpy array of uint8, 0 to 255", "convert the frame first"
        )
    expected = (spec.height, spec.width, 3)
    if frame.shape != expected:
        raise StreamError(
            "V2V-E3002",
            f"the frame has shape {list(frame.shape)}",
            f"{list(expected)}: height, width, RGB",
            "resize the frame, or build the bundle for this size",
        )
    if frame.flags.c_contiguous:
        return frame
    rows, pixels, channels = frame.strides
    packed = channels == 1 and (pixels == 3 or spec.width == 1)
    if not packed or (rows < 3 * spec.width and spec.height > 1):
        raise StreamError(
            "V2V-E3003",
            f"the frame has strides {list(frame.strides)} bytes",
            f"[{3 * spec.width} or more, 3, 1]",
            "pass numpy.ascontiguousarray(frame)",
        )
    return frame


def checked_out(out: Any, spec: FrameSpec, most: int) -> Array | None:
    """``out`` as [N, H, W, 3], if it can take every frame of one push; None stays None.

    Raises:
        StreamError: V2V-E3008.
    """
    if out is None:
        return None
    shape = (spec.height, spec.width, 3)
    if isinstance(out, np.ndarray) and out.dtype == np.uint8:
        room: Array = out[None] if out.shape == shape else out
        usable = out.flags.c_contiguous and out.flags.writeable
        if usable and room.shape[1:] == shape and room.shape[0] >= most:
            return room
    seen = f"{out.dtype} {list(out.shape)}" if isinstance(out, np.ndarray) else f"a {type(out).__name__}"
    one = f" or {list(shape)}" if most == 1 else ""
    raise StreamError(
        "V2V-E3008",
        f"out is {seen}",
        f"a writable C-contiguous uint8 array [{most} or more, {', '.join(map(str, shape))}]{one}",
        "leave out away to get new arrays",
    )

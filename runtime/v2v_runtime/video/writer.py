"""Frames into a video file that is whole or absent."""

from __future__ import annotations

import contextlib
import os
import tempfile
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from v2v_runtime.errors import MediaError
from v2v_runtime.video.types import av, reason

OddSize = Literal["pad", "crop", "refuse"]
"""What a writer does with an odd side, which 4:2:0 video cannot hold: repeat the last row or column, leave it
out, or refuse."""

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Endings that a writer takes, with the container that each one makes."""

#: MPEG-4 part 2 stores the time base's denominator in 16 bits.
_MPEG4_TICKS = 60_000


class VideoWriter:
    """Writes uint8 RGB frames as H.264 (MPEG-4 where this PyAV has no H.264 encoder), 4:2:0, BT.709.

    The file appears whole under its name when the writer is closed; until then, and after an error, there is
    only a temporary file in the same folder, or nothing. Used as a context manager, an exception discards it.

    Args:
        path: where to write; the ending chooses the container (see ``CONTAINERS``).
        rate: nominal frames per second.
        time_base: seconds per tick of the times given to ``write``; None: ``1 / rate``.
        odd: what to do with an odd height or width.
        quality: constant rate factor, 0 (lossless) to 51; 18 looks like the source.

    Raises:
        MediaError: E9001 no PyAV, E9006 the file cannot be written so, E9007 odd size refused, E9008 frame of
            another shape or type, E9004 closed without a frame.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rate: Fraction | int,
        time_base: Fraction | None = None,
        odd: OddSize = "pad",
        quality: int = 18,
    ) -> None:
        if odd not in get_args(OddSize):
            raise MediaError("V2V-E9008", f"odd is {odd!r}", "one of " + ", ".join(get_args(OddSize)))
        self._av = av()
        self.path = Path(path)
        self.frames = 0
        self._odd: OddSize = odd
        self._rate = Fraction(rate).limit_denominator(1001 * 60)
        self._ticks = time_base or 1 / self._rate
        self._shape: tuple[int, ...] | None = None
        self._last = -(2**62)
        form = CONTAINERS.get(self.path.suffix.lower())
        if form is None:
            raise MediaError(
                "V2V-E9006",
                f"{self.path}: cannot tell a video container from the ending {self.path.suffix!r}",
                "one of " + " ".join(CONTAINERS),
            )
        self.codec = "libx264" if "libx264" in self._av.codecs_available else "mpeg4"
        try:
            handle, name = tempfile.mkstemp(
                prefix=f".{self.path.name}.", suffix=".part", dir=self.path.parent
            )
        except OSError as error:
            raise MediaError(
                "V2V-E9006", f"{self.path}: {reason(error)}", "a folder that exists and can be written"
            ) from error
        os.close(handle)
        self._temporary = Path(name)
        self._container: Any | None = self._av.open(name, "w", format=form)
        options = {"crf": str(quality), "preset": "veryfast"} if self.codec == "libx264" else {}
        self._stream = self._container.add_stream(self.codec, rate=self._rate, options=options)

    def write(self, rgb: NDArray[np.uint8], pts: int) -> None:
        """Adds a frame [H, W, 3]; the first one sets the size. ``pts`` is in ticks and must rise."""
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
            raise MediaError("V2V-E9008", f"a frame of {rgb.dtype} {list(rgb.shape)}", "uint8 [H, W, 3]")
        if self._container is None:
            raise MediaError("V2V-E9008", f"{self.path}: written to after it was closed", "an open writer")
        if self._shape is None:
            self._begin(rgb.shape)
        elif rgb.shape != self._shape:
            raise MediaError(
                "V2V-E9008",
                f"frame {self.frames} is {list(rgb.shape)}",
                f"{list(self._shape)}, the size of the first frame",
            )
        even = np.ascontiguousarray(_even(rgb, self._odd))
        frame = self._av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
            format="yuv420p", dst_colorspace="itu709"
        )
        frame.time_base = self._frame_base
        self._last = max(self._last + 1, round(pts * self._ticks / self._frame_base))
        frame.pts = self._last
        self._encode(frame)
        self.frames += 1

    def close(self) -> None:
        """Publishes the file. Closing twice is harmless."""
        if self._container is None:
            return
        if not self.frames:
            self.discard()
            raise MediaError("V2V-E9004", f"{self.path}: no frame was written", "at least one frame")
        try:
            self._encode(None)
            self._container.close()
            with self._temporary.open("rb") as written:
                os.fsync(written.fileno())
            # mkstemp makes private files; a published video has the permissions of any other new file.
            mask = os.umask(0)
            os.umask(mask)
            self._temporary.chmod(0o666 & ~mask)
            self._temporary.replace(self.path)
        except (self._av.error.FFmpegError, OSError) as error:
            self.discard()
            raise MediaError("V2V-E9006", f"{self.path}: {reason(error)}", "room to write it") from error
        self._container = None

    def discard(self) -> None:
        """Drops what was written; nothing appears under the file's name."""
        if self._container is not None:
            container, self._container = self._container, None
            # The encoder may be the very thing that failed.
            with contextlib.suppress(self._av.error.FFmpegError, OSError, ValueError):
                container.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _begin(self, shape: tuple[int, ...]) -> None:
        height, width = shape[:2]
        if self._odd == "refuse" and (height % 2 or width % 2):
            raise MediaError(
                "V2V-E9007",
                f"{self.path}: frames are {height}x{width} (height x width)",
                "even sides, which 4:2:0 video needs",
                "let the writer pad or crop by one line (odd='pad' or 'crop')",
            )
        if self._odd == "crop" and min(height, width) < 2:
            raise MediaError("V2V-E9007", f"frames are {height}x{width}", "at least 2x2 to crop")
        base = Fraction(self._ticks)
        if self.codec == "mpeg4" and base.denominator > 65_535:
            base = Fraction(1, _MPEG4_TICKS)
        self._frame_base = base
        stream, context = self._stream, self._stream.codec_context
        height, width = (n - n % 2 if self._odd == "crop" else n + n % 2 for n in (height, width))
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.time_base = context.time_base = base
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        self._shape = shape

    def _encode(self, frame: Any | None) -> None:
        assert self._container is not None
        try:
            self._container.mux(self._stream.encode(frame))
        except (self._av.error.FFmpegError, OSError) as error:
            self.discard()
            raise MediaError("V2V-E9006", f"{self.path}: {reason(error)}", "a frame that encodes") from error


def _even(rgb: NDArray[np.uint8], odd: OddSize) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    if odd == "crop":
        return rgb[: height - height % 2, : width - width % 2]
    if height % 2 or width % 2:
        return np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return rgb

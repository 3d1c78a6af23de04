"""Frames out of a video file or a camera."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from v2v_runtime.errors import MediaError
from v2v_runtime.video.fit import Fit, box, centred
from v2v_runtime.video.types import VideoFrame, VideoInfo, av, reason

#: Untagged video of at least this many lines is BT.709, below it BT.601: what players assume.
_HD_LINES = 720


class VideoReader:
    """Iterates over the frames of a video file, or of a camera.

    The first frame is decoded on opening, so a file without one is refused before anything else is made.

    Attributes:
        info: what the container says.
        time_base: seconds per tick of the frames' times.
        live: a camera, which has no end of its own.

    Args:
        source: a path, or ``camera:N``.
        size: (height, width) of the frames to hand out; None keeps the video's own.
        fit: how a picture of another size gets there.
        salvage: take damage as the end of the video instead of raising V2V-E9005.

    Raises:
        MediaError: E9001 no PyAV, E9002 not readable, E9003 no video stream, E9004 no frames, E9009 camera;
            while iterating E9005: damaged or cut short.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        size: tuple[int, int] | None = None,
        fit: Fit = "crop",
        salvage: bool = False,
    ) -> None:
        if fit not in get_args(Fit):
            raise MediaError("V2V-E9008", f"fit is {fit!r}", "one of " + ", ".join(get_args(Fit)))
        self._av = av()
        self._name = os.fspath(source)
        self.live = self._name.startswith("camera:")
        self._fit: Fit = fit
        self._salvage = salvage
        self._container = self._open()
        try:
            self._stream = self._find_stream()
            self.time_base = Fraction(self._stream.time_base or Fraction(1, 90_000))
            rate = self._stream.average_rate or self._stream.guessed_rate or Fraction(30)
            self._tick = max(1, round(1 / (Fraction(rate) * self.time_base)))
            self._decoder = self._container.decode(self._stream)
            self._last_pts: int | None = None
            self._last_duration = self._tick
            self._count = 0
            first = self._next_raw()
            if first is None:
                raise MediaError(
                    "V2V-E9004", f"{self._name}: the video stream holds no frames", "at least one frame"
                )
            self._first: Any | None = first
            height, width = self._upright(first)
            self.info = VideoInfo(
                source=self._name,
                height=height,
                width=width,
                rate=Fraction(rate),
                frames=self._stream.frames or None,
                codec=self._stream.codec_context.name,
                rotation=first.rotation,
            )
            self._size = size or (height, width)
        except BaseException:
            self._container.close()
            raise

    def __iter__(self) -> Iterator[VideoFrame]:
        """Yields each frame once; a second iteration goes on where the first one stopped."""
        while True:
            raw, self._first = (self._first, None) if self._first is not None else (self._next_raw(), None)
            if raw is None:
                return
            yield VideoFrame(self._picture(raw), self._time(raw))

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> Any:
        if self.live:
            return self._open_camera(self._name.removeprefix("camera:"))
        try:
            return self._av.open(self._name)
        except self._av.error.FileNotFoundError as error:
            raise MediaError("V2V-E9002", f"{self._name}: no such file", "a video file") from error
        except self._av.error.EOFError as error:
            raise MediaError(
                "V2V-E9004", f"{self._name}: ends before its first frame", "at least one frame"
            ) from error
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise MediaError(
                "V2V-E9002",
                f"{self._name}: cannot be read as a video ({reason(error)})",
                "a whole video file in a format that FFmpeg knows",
                "play it elsewhere to see whether it is whole; an interrupted recording or download is not",
            ) from error

    def _open_camera(self, index: str) -> Any:
        if not index.isdecimal():
            raise MediaError("V2V-E9009", f"camera:{index}", "camera:N with N = 0, 1, ...")
        device, form = (index, "avfoundation") if sys.platform == "darwin" else (f"/dev/video{index}", "v4l2")
        try:
            return self._av.open(device, format=form)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise MediaError(
                "V2V-E9009",
                f"camera {index} ({device}) cannot be opened: {reason(error)}",
                "a camera that this user may read",
                "list cameras with `ls /dev/video*`; another program may hold it",
            ) from error

    def _find_stream(self) -> Any:
        streams = self._container.streams.video
        # FFmpeg draws plain text as "ansi" pictures: never what somebody meant by a video.
        if not streams or self._container.format.name == "tty":
            kinds = ", ".join(sorted({s.type for s in self._container.streams})) or "no stream at all"
            raise MediaError(
                "V2V-E9003", f"{self._name}: holds {kinds}, no video stream", "a file with a video stream"
            )
        stream = streams[0]
        stream.thread_type = "AUTO"
        return stream

    def _next_raw(self) -> Any | None:
        try:
            frame = next(self._decoder, None)
        except (self._av.error.FFmpegError, OSError) as error:
            self._damaged(reason(error), error)
            return None
        if frame is None:
            self._check_length()
            return None
        if frame.is_corrupt:
            self._damaged("a frame is marked as corrupt", None)
            return None
        self._count += 1
        return frame

    def _check_length(self) -> None:
        """Some files end quietly where they were cut: what the header promised still tells."""
        stated = self._stated_end()
        if stated is None or self._last_pts is None:
            return
        if self._stream.frames and self._count >= self._stream.frames:
            return
        reached = float((self._last_pts + self._last_duration) * self.time_base)
        if reached < stated - 2 * self._tick * self.time_base - 0.05:
            self._damaged(f"{reached:.2f} s of {stated:.2f} s are there", None)

    def _stated_end(self) -> float | None:
        """When the last frame should end, in seconds, by the header; None where it does not say."""
        start = self._stream.start_time or 0
        duration = self._stream.duration
        stated = [_seconds(self._stream.metadata.get("DURATION", ""))]
        stated.append(None if duration is None else float((start + duration) * self.time_base))
        return min((value for value in stated if value is not None), default=None)

    def _damaged(self, why: str, error: BaseException | None) -> None:
        if self._salvage and self._count:
            return
        raise MediaError(
            "V2V-E9005",
            f"{self._name}: damaged or cut short after {self._count} frames ({why})",
            "a whole file",
            "get the whole file, or salvage what comes before the damage (--salvage)",
        ) from error

    def _upright(self, frame: Any) -> tuple[int, int]:
        """Height and width of the picture as a viewer sees it: turned, with square pixels."""
        height, width = frame.height, frame.width
        aspect = self._stream.sample_aspect_ratio
        if aspect:
            width = max(1, round(width * aspect))
        return (width, height) if frame.rotation % 180 else (height, width)

    def _picture(self, frame: Any) -> NDArray[np.uint8]:
        height, width = self._size
        scaled = box(self._upright(frame), (height, width), self._fit)
        turned = bool(frame.rotation % 180)
        # Scaling happens before the turn, so its sides are swapped there.
        scaled_h, scaled_w = (scaled[1], scaled[0]) if turned else scaled
        space = 1 if frame.colorspace == 2 and frame.height >= _HD_LINES else None
        same = (scaled_h, scaled_w) == (frame.height, frame.width)
        shrinks = scaled_h < frame.height and scaled_w < frame.width
        converted = frame.reformat(
            width=scaled_w,
            height=scaled_h,
            format="rgb24",
            src_colorspace=space,
            interpolation=None if same else ("AREA" if shrinks else "BICUBIC"),
        )
        picture: NDArray[np.uint8] = np.rot90(converted.to_ndarray(), frame.rotation // 90)
        return np.ascontiguousarray(centred(picture, height, width))

    def _time(self, frame: Any) -> int:
        pts = frame.pts
        if self._last_pts is not None:
            least = self._last_pts + 1
            pts = self._last_pts + self._tick if pts is None else max(pts, least)
        self._last_pts = int(pts or 0)
        self._last_duration = max(self._tick, frame.duration or 0)
        return self._last_pts


def _seconds(clock: str) -> float | None:
    """``HH:MM:SS.fraction`` as seconds; None if it is not that."""
    parts = clock.split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds

"""One video through the stream and through the full teacher: what they draw, side by side, and how alike."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.bundle import Bundle
from v2v_runtime.stream import Stream
from v2v_runtime.trace import Event, StepEvent
from v2v_runtime.video import VideoFrame, VideoReader, VideoWriter

from v2v_export.demo.panels import side_by_side, write_png
from v2v_export.progress import Progress

STREAM, TEACHER = "stream", "full teacher"

_TARGET = "cpu.onnxruntime"
_SHORTCUT = "shortcut"
"""The call that draws a frame without the teacher."""


class Comparison:
    """Plays both bundles on one video and writes what they make; a context manager.

    Args:
        out: takes ``translated.mp4``, ``side_by_side.mp4`` and ``side_by_side.png``.
        names: of the three panels: input, teacher, stream.

    Attributes:
        files: what was written.
    """

    def __init__(self, out: Path, stream: Path, teacher: Path, names: tuple[str, str, str]) -> None:
        self.files = {
            "translated": out / "translated.mp4",
            "side_by_side": out / "side_by_side.mp4",
            "still": out / "side_by_side.png",
        }
        self._names = names
        self._events: list[Event] = []
        self._stack = ExitStack()
        try:
            trace = self._events.append
            self._stream = self._stack.enter_context(Stream(Bundle.open(stream), _TARGET, trace=trace))
            self._teacher = self._stack.enter_context(Stream(Bundle.open(teacher), _TARGET))
        except BaseException:
            self._stack.close()
            raise

    def play(
        self, frames: Iterable[VideoFrame], reader: VideoReader, progress: Progress
    ) -> list[float | None]:
        """Plays the frames; returns each one's PSNR, or None where the stream ran the teacher itself.

        Raises:
            MediaError: the input is damaged, or a video cannot be written; then none is.
        """
        scores: list[float | None] = []
        still: NDArray[np.uint8] | None = None
        total = reader.info.frames
        with ExitStack() as stack:
            rate, ticks = Fraction(reader.info.rate), reader.time_base
            translated, beside = (
                stack.enter_context(VideoWriter(self.files[name], rate=rate, time_base=ticks))
                for name in ("translated", "side_by_side")
            )
            for index, frame in enumerate(frames):
                mine, whole = self._pictures(frame)
                translated.write(mine, frame.pts)
                panels = side_by_side((frame.rgb, whole, mine), self._names)
                beside.write(panels, frame.pts)
                scores.append(psnr(mine, whole) if self._drawn_by_block() else None)
                # The still shows the block's work, late enough for the clip to have moved.
                if still is None or (scores[-1] is not None and index <= _STILL):
                    still = panels
                progress.step("frames", index + 1, total)
        if still is not None:
            write_png(self.files["still"], still)
        return scores

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _pictures(self, frame: VideoFrame) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        (mine,) = self._stream.push(frame.rgb, frame.pts)
        (whole,) = self._teacher.push(frame.rgb, frame.pts)
        return mine.rgb8, whole.rgb8

    def _drawn_by_block(self) -> bool:
        """Whether the last step's picture came from the shortcut block."""
        step = next(event for event in reversed(self._events) if isinstance(event, StepEvent))
        self._events.clear()
        return any(name == _SHORTCUT for name, _ in step.calls)


_STILL = 61
"""Index of the frame on the still, or of the block's last frame before it."""


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures, dB; infinite where they are equal."""
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)

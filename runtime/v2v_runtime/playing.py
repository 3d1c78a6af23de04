"""Plays a video through a stream into sinks, and tells what that took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from v2v_runtime.stream import Stream
from v2v_runtime.video import VideoReader


class Sink(Protocol):
    """Takes the pictures of a stream in order."""

    def write(self, rgb: NDArray[np.uint8], pts: int) -> None:
        """One picture [H, W, 3] and its presentation time in ticks."""


@dataclass(frozen=True)
class PlayReport:
    """What one run took. Times per frame are in milliseconds.

    Attributes:
        frames_in, frames_out: frames read and pictures written.
        seconds: from the first frame read to the last picture written: reading, stream and writing.
        fps: pictures per second of all that.
        stream_fps: pictures per second of the stream alone.
        p50, p95, worst: of single pushes that brought pictures out (those that only gather frames do nothing
            else); the first one, which warms up, is left out where there are others. Of the flush, where it
            alone brought any.
        read, write: mean time per frame to read and convert, and to convert and write.
    """

    frames_in: int
    frames_out: int
    seconds: float
    fps: float
    stream_fps: float
    p50: float
    p95: float
    worst: float
    read: float
    write: float

    def as_dict(self) -> dict[str, float]:
        """Plain JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{self.frames_in} frames in, {self.frames_out} out, {self.seconds:.2f} s end to end: "
            f"{self.fps:.1f} frames per second",
            f"stream alone: {self.stream_fps:.1f} frames per second; "
            f"p50 {self.p50:.1f} ms, p95 {self.p95:.1f} ms, worst {self.worst:.1f} ms",
            f"per frame: {self.read:.1f} ms to read, {self.write:.1f} ms to write",
        ]


def play(
    stream: Stream,
    reader: VideoReader,
    sinks: Sequence[Sink],
    *,
    limit: int | None = None,
    before: Callable[[int, int], None] = lambda index, pts: None,
    progress: Callable[[int, float], None] = lambda frames, fps: None,
    stop: Callable[[], bool] = lambda: False,
) -> PlayReport:
    """Plays a video through a stream until it ends, and flushes the stream.

    Args:
        stream: at its start, with frames of the reader's size.
        sinks: each gets every picture.
        limit: frames to read at most.
        before: called before each frame with its index and time in ticks; what it takes counts as the
            stream's.
        progress: called after each frame with the frames so far and their rate.
        stop: asked after each frame whether to end here.
    """
    clock = time.perf_counter
    pushes: list[float] = []
    showing: list[float] = []
    reading = writing = 0.0
    frames_in = frames_out = 0
    begin = ready = clock()
    for frame in reader:
        taken = clock()
        reading += taken - ready
        before(frames_in, frame.pts)
        pictures = stream.push(frame.rgb, frame.pts)
        made = clock()
        pushes.append(made - taken)
        if pictures:
            showing.append(made - taken)
        for picture in pictures:
            for sink in sinks:
                sink.write(picture.rgb8, picture.timestamp)
        frames_in += 1
        frames_out += len(pictures)
        ready = clock()
        writing += ready - made
        progress(frames_in, frames_in / (ready - begin))
        if frames_in == limit or stop():
            break
    flushing = clock()
    pictures = stream.flush()
    made = clock()
    for picture in pictures:
        for sink in sinks:
            sink.write(picture.rgb8, picture.timestamp)
    frames_out += len(pictures)
    seconds = clock() - begin
    warm = np.asarray(showing[1:] or showing or [made - flushing]) * 1e3
    p50, p95 = np.percentile(warm, (50, 95))
    return PlayReport(
        frames_in=frames_in,
        frames_out=frames_out,
        seconds=seconds,
        fps=frames_out / seconds,
        stream_fps=frames_out / (sum(pushes) + made - flushing),
        p50=float(p50),
        p95=float(p95),
        worst=float(warm.max()),
        read=reading / frames_in * 1e3,
        write=(writing + clock() - made) / frames_in * 1e3,
    )

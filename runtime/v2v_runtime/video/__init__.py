"""Video files and cameras as uint8 RGB frames with presentation times, through PyAV (extra ``video``).

PyAV is imported when a reader or a writer is made, never before, so the rest of the runtime does without it.
Times are int64 ticks of the reader's ``time_base``; they pass through a stream as its timestamps and back
into the writer, so a variable frame rate stays what it was.
"""

from __future__ import annotations

from v2v_runtime.video.fit import Fit
from v2v_runtime.video.reader import VideoReader
from v2v_runtime.video.types import VideoFrame, VideoInfo
from v2v_runtime.video.writer import CONTAINERS, OddSize, VideoWriter

__all__ = ["CONTAINERS", "Fit", "OddSize", "VideoFrame", "VideoInfo", "VideoReader", "VideoWriter"]

"""The same as ``play.cpp`` in Python: raw RGB frames from the standard input to the standard output.

python play.py my.v2v < in.rgb > out.rgb
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np
from v2v_runtime import OutputFrame, Stream, V2VError


def write(frames: Iterable[OutputFrame]) -> None:
    for frame in frames:
        sys.stdout.buffer.write(frame.rgb8.tobytes())
    sys.stdout.buffer.flush()  # who reads the pipe wants the frame now, not with the next one


def play(path: str) -> str:
    """Plays the standard input to its end; gives what was wrong with that, or nothing."""
    with Stream.open(path) as stream:
        height, width = stream.input_size
        size = height * width * 3
        while len(data := sys.stdin.buffer.read(size)) == size:
            write(stream.push(np.frombuffer(data, np.uint8).reshape(height, width, 3)))
        write(stream.flush())
    return f"the last frame has {len(data)} of {size} bytes and was left out" if data else ""


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("usage: play.py BUNDLE < rgb24 > rgb24", file=sys.stderr)
        sys.exit(2)
    try:
        sys.exit(play(sys.argv[1]) or 0)
    except (V2VError, OSError) as error:
        sys.exit(f"play.py: {error}")

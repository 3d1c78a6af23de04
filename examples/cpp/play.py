"""The same as ``play.cpp`` in Python: raw RGB frames from the standard input to the standard output.

python play.py my.v2v < in.rgb > out.rgb
"""

from __future__ import annotations

import sys

import numpy as np
from v2v_runtime import Stream


def main(path: str) -> None:
    with Stream.open(path) as stream:
        height, width = stream.input_size
        size = height * width * 3
        while len(data := sys.stdin.buffer.read(size)) == size:
            for frame in stream.push(np.frombuffer(data, np.uint8).reshape(height, width, 3)):
                sys.stdout.buffer.write(frame.rgb8.tobytes())
        for frame in stream.flush():
            sys.stdout.buffer.write(frame.rgb8.tobytes())


if __name__ == "__main__":
    main(sys.argv[1])

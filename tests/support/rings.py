"""A program whose rings turn out of step: one call has more sets of buffers than it keeps bound runs."""

from __future__ import annotations

import numpy as np
import pytest
from conformance.programs.base import HEIGHT, WIDTH, Frame, Synthetic
from v2v_runtime.manifest.model import Call, Emit, FrameSpec, Phase, Program, Ring, Slot

LENGTHS = {"a": 33, "b": 32}
"""Both are written in place by one call: 33 * 32 = 1056 pairs of entries before the first comes again."""


def _sum(ring: str, length: int) -> str:
    """The sum of all entries but the one that is about to be overwritten."""
    return f"""
  {ring}_all = Constant<value = int64[{length}] {{{",".join(map(str, range(length)))}}}>()
  {ring}_length = Constant<value = int64 {{{length}}}>()
  {ring}_place = Mod({ring}_count, {ring}_length)
  {ring}_going = Equal({ring}_all, {ring}_place)
  {ring}_column = Unsqueeze({ring}_going, one)
  {ring}_kept = Where({ring}_column, zero, {ring})
  {ring}_sum = ReduceSum<keepdims = 0>({ring}_kept)"""


GRAPH = f"""g (uint8[1,2,4,3] frame, float[33,1] a, float[32,1] b, int64[1] a_count, int64[1] b_count)
  => (uint8[1,2,4,3] y, float[1,1] na, float[1,1] nb)
<float zero = {{0}}, float three = {{3}}, float bytes = {{256}}, int64[1] one = {{1}},
 int64[2] flat = {{1,24}}, int64[1] i0 = {{0}}, int64[1] i1 = {{1}}>
{{
  x = Cast<to = 1>(frame)
  row = Reshape(x, flat)
  na = Slice(row, i0, i1, one)
  nb = Mul(na, three){_sum("a", 33)}{_sum("b", 32)}
  both = Add(a_sum, b_sum)
  all = Add(both, x)
  byte = Mod<fmod = 1>(all, bytes)
  y = Cast<to = 2>(byte)
}}"""


def rings() -> Synthetic:
    """Adds to a frame the 32 values before it, and thrice the 31 before it."""
    spec = FrameSpec(HEIGHT, WIDTH)
    counts = {f"{name}_count": f"{name}.count" for name in LENGTHS}
    inputs = {"frame": "video", **{name: name for name in LENGTHS}, **counts}
    call = Call("g", "g", inputs, {"y": "out", "na": "a", "nb": "b"}, in_place=("na", "nb"))
    program = Program(
        inputs={"video": spec},
        outputs={"shown": spec},
        phases=(Phase("play", "forever", (call,), emit=Emit("out")),),
        max_frames=1,
        slots={name: Slot("float", (length, 1), ring=Ring(length)) for name, length in LENGTHS.items()},
    )
    return Synthetic("rings", program, {"g": GRAPH}, lambda: pytest.fail("it has none"))


def frame(index: int) -> Frame:
    """Frame ``index``; no two that are near each other are equal."""
    return np.full((HEIGHT, WIDTH, 3), index * 37 % 251, np.uint8)


def expected(index: int) -> Frame:
    """What comes out for frame ``index`` of a stream of ``frame(0)``, ``frame(1)`` ..."""
    before = [int(frame(i).flat[0]) for i in range(max(0, index - 32), index)]
    added = sum(before) + 3 * sum(before[-31:])
    return ((frame(index).astype(np.int64) + added) % 256).astype(np.uint8)

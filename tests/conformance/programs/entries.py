"""A graph that keeps entries itself: one view of a slot on both sides of a call, one entry rewritten a step.

The variant that updates in place has one memory on both sides. A step that failed has left its NaN in the
entry that the next try rewrites, and nothing reads it before.
"""

from __future__ import annotations

import numpy as np
from conformance.programs.base import (
    HEIGHT,
    WIDTH,
    Frame,
    Simulation,
    Synthetic,
    modulo,
    picture,
    pixels,
)
from conformance.programs.texts import finite, opening
from v2v_runtime.manifest.model import Call, CallOverride, Emit, FrameSpec, Phase, Program, Slot, View

ENTRIES = 6

_KEEP = (
    """keep (uint8[1,2,4,3] frame, float[6,24] entries, int64[1] step)
  => (float[6,24] kept, uint8[1,2,4,3] y, bool[1] ok)
<int64[2] flat = {1,24}, float three = {3}, float one = {1}, float m = {251}, float bad = {255},
 float zero = {0}, int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] count = {6}, int64[2] one_index = {1,1},
 int64[4] hwc = {1,2,4,3}>
{"""
    + opening("frame", "three", "one", "z")
    + finite("z")
    + """
  place = Mod(step, count)
  index = Reshape(place, one_index)
  kept = ScatterND(entries, index, z)
  sum = ReduceSum<keepdims = 0>(kept, i0)
  shown = Mod<fmod = 1>(sum, m)
  u8 = Cast<to = 2>(shown)
  y = Reshape(u8, hwc)
}"""
)


def entries() -> Synthetic:
    """The sum of the last six frames; in place in its second variant."""
    spec = FrameSpec(HEIGHT, WIDTH)
    whole = View("entries", 0, ENTRIES)
    keep = Call(
        "keep",
        "keep",
        {"frame": "video", "entries": whole, "step": "step"},
        {"kept": whole, "y": "out", "ok": None},
        check=("ok",),
    )
    program = Program(
        inputs={"video": spec},
        outputs={"shown": spec},
        phases=(Phase("play", "forever", (keep,), resets=("entries",), emit=Emit("out")),),
        max_frames=1,
        slots={"entries": Slot("float", (ENTRIES, 24))},
    )
    overrides = {"play/keep": CallOverride(in_place=("kept",))}
    return Synthetic("entries", program, {"keep": _KEEP}, EntriesSimulation, overrides=overrides)


class EntriesSimulation(Simulation):
    """A list of the last frames."""

    def __init__(self) -> None:
        super().__init__()
        self.go_to("play")

    def gather(self) -> int:
        return 1

    def go_to(self, phase: str) -> None:
        self.last = [np.zeros(24, np.int64)] * ENTRIES

    def step(self, frames: list[Frame]) -> list[Frame]:
        self.last = [*self.last[1:], modulo(3 * pixels(frames[0]) + 1)]
        return [picture(modulo(sum(self.last)))]

"""Shortcut-V2V, interval 3: a full first frame, then shortcut frames from a cached reference.

Schedule ``shortcut``: in every third step the reference is rewritten by a late call from that step's own
features, after the picture made from the old reference is out. Schedule ``teacher``: every third step is a
full frame. A late call that meets a feature of 200 in first place makes a NaN.
"""

from __future__ import annotations

import numpy as np
from conformance.programs.base import (
    HEIGHT,
    WIDTH,
    Frame,
    Simulation,
    StepError,
    Synthetic,
    modulo,
    picture,
    pixels,
)
from conformance.programs.texts import feature, finite, opening
from numpy.typing import NDArray
from v2v_runtime.manifest.model import Call, Emit, Every, FrameSpec, Phase, Program, Slot

INTERVAL = 3
BAD_FEATURE = 200

_FULL = (
    """full (uint8[1,2,4,3] frame) => (uint8[1,2,4,3] out, float[1,24] z, float[1,12] p, bool[1] ok)
<int64[2] flat = {1,24}, int64[4] hwc = {1,2,4,3}, float two = {2}, float three = {3}, float five = {5},
 float one = {1}, float seven = {7}, float m = {251}, float bytes = {256}, float bad = {255},
 float zero = {0},
 int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i12 = {12}>
{"""
    + opening("frame", "three", "seven", "z")
    + """
  x5 = Mul(x, five)
  x51 = Add(x5, one)
  pm = Mod<fmod = 1>(x51, m)
  p = Slice(pm, i0, i12, i1)
  z2 = Mul(z, two)
  sum = Add(z2, x)
  byte = Mod<fmod = 1>(sum, bytes)
  u8 = Cast<to = 2>(byte)
  out = Reshape(u8, hwc)"""
    + finite("z")
    + "\n}"
)

_SHORTCUT = (
    """shortcut (uint8[1,2,4,3] frame, float[1,24] z, float[1,12] p)
  => (uint8[1,2,4,3] out, float[1,24] a, bool[1] ok)
<int64[2] flat = {1,24}, int64[4] hwc = {1,2,4,3}, float seven = {7}, float eleven = {11}, float m = {251},
 float bytes = {256}, float bad = {255}, float zero = {0}, int64[1] i0 = {0}, int64[1] i1 = {1}>
{"""
    + opening("frame", "seven", "eleven", "a")
    + """
  pp = Concat<axis = 1>(p, p)
  az = Add(a, z)
  sum = Add(az, pp)
  byte = Mod<fmod = 1>(sum, bytes)
  u8 = Cast<to = 2>(byte)
  out = Reshape(u8, hwc)"""
    + finite("a")
    + "\n}"
)

_REFRESH = (
    """refresh (float[1,24] a) => (float[1,24] z, float[1,12] p, bool[1] ok)
<float three = {3}, float five = {5}, float one = {1}, float seven = {7}, float m = {251}, float bad = {200},
 float zero = {0}, int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i12 = {12}>
{"""
    + feature("a", "three", "seven", "z")
    + """
  a5 = Mul(a, five)
  a51 = Add(a5, one)
  pm = Mod<fmod = 1>(a51, m)
  p = Slice(pm, i0, i12, i1)"""
    + finite("z")
    + "\n}"
)


def shortcut_v2v(schedule: str) -> Synthetic:
    """``schedule``: ``shortcut`` or ``teacher``."""
    full_outputs = {"out": "out", "z": "z", "p": "p", "ok": None}
    shortcut_inputs = {"frame": "video", "z": "z", "p": "p"}
    first = Call("full", "full", {"frame": "video"}, full_outputs, check=("ok",))
    models = {"full": _FULL, "shortcut": _SHORTCUT}
    if schedule == "shortcut":
        models["refresh"] = _REFRESH
        refreshing = Every(INTERVAL, (INTERVAL - 1,))
        calls = (
            Call(
                "shortcut", "shortcut", shortcut_inputs, {"out": "out", "a": "a", "ok": None}, check=("ok",)
            ),
            Call(
                "refresh",
                "refresh",
                {"a": "a"},
                {"z": "z", "p": "p", "ok": None},
                when=refreshing,
                late=True,
                check=("ok",),
            ),
        )
    else:
        calls = (
            Call(
                "shortcut",
                "shortcut",
                shortcut_inputs,
                {"out": "out", "a": None, "ok": "fine"},
                when=Every(INTERVAL, (0, 1)),
                check=("ok",),
            ),
            Call(
                "full",
                "full",
                {"frame": "video"},
                full_outputs,
                when=Every(INTERVAL, (2,)),
                check=("ok",),
            ),
        )
    spec = FrameSpec(HEIGHT, WIDTH)
    program = Program(
        inputs={"video": spec},
        outputs={"video": spec},
        phases=(
            Phase("first", 1, (first,), emit=Emit("out")),
            Phase("stream", "forever", calls, emit=Emit("out")),
        ),
        max_frames=1,
        slots={"z": Slot("float", (1, 24)), "p": Slot("float", (1, 12))},
    )
    return Synthetic(
        f"shortcut_v2v-{schedule}", program, models, lambda: ShortcutSimulation(schedule == "teacher")
    )


class ShortcutSimulation(Simulation):
    """Algorithm 1 with toy features."""

    def __init__(self, teacher: bool) -> None:
        super().__init__()
        self.teacher = teacher
        self.since_first = -1
        self.reference: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    def gather(self) -> int:
        return 1

    def lacks(self, phase: str) -> bool:
        return phase == "stream" and self.reference is None

    def go_to(self, phase: str) -> None:
        self.since_first = -1 if phase == "first" else 0

    def step(self, frames: list[Frame]) -> list[Frame]:
        x = pixels(frames[0])
        if self.since_first < 0 or (self.since_first % INTERVAL == INTERVAL - 1 and self.teacher):
            out = self._full(x)
        else:
            out = self._shortcut(x)
        self.since_first += 1
        return [picture(out)]

    def _full(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        self.reference = modulo(3 * x + 7), modulo(5 * x[:12] + 1)
        return 2 * self.reference[0] + x

    def _shortcut(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        assert self.reference is not None
        z, p = self.reference
        a = modulo(7 * x + 11)
        if self.since_first % INTERVAL == INTERVAL - 1:
            try:
                self._refresh(a)
            except StepError:
                self.late_failed = True
        return a + z + np.concatenate([p, p])

    def _refresh(self, a: NDArray[np.int64]) -> None:
        if a[0] == BAD_FEATURE:
            raise StepError
        self.reference = modulo(3 * a + 7), modulo(5 * a[:12] + 1)

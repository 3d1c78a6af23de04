"""StreamV2V with 2 rows in flight: a priming phase fills the bank, a late call merges it every fourth step.

``prime`` pushes the first frame through both rows, so no bank of zeros is ever attended. In ``stream`` a
similarity filter compares a frame with the last one that was not skipped, and skips at most two in a row.
A merge that meets a feature of 77 in first place makes a NaN.
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
from conformance.programs.stream_diffusion import ENCODE
from conformance.programs.texts import finite
from numpy.typing import NDArray
from v2v_runtime.manifest.model import (
    BlobRef,
    Call,
    Const,
    Emit,
    Every,
    FrameSpec,
    Phase,
    Program,
    Skip,
    Slot,
    View,
)

ROWS = 2
INTERVAL = 4
MOST_SKIPS = 2
BAD_FEATURE = 77
TABLE = np.array([[19], [43]], np.float32)

_SIMILAR = """similar (uint8[1,2,4,3] frame, uint8[1,2,4,3] last, int64[1] skips)
  => (bool[1] same, uint8[1,2,4,3] seen, int64[1] counted)
<int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] most = {2}, int64[4] one = {1,1,1,1}>
{
  a = Cast<to = 1>(frame)
  b = Cast<to = 1>(last)
  d = Sub(a, b)
  d2 = Abs(d)
  far = ReduceMax<keepdims = 0>(d2)
  far1 = Reshape(far, i1)
  zero = Cast<to = 1>(i0)
  equal = Equal(far1, zero)
  few = Less(skips, most)
  same = And(equal, few)
  same4 = Reshape(same, one)
  a8 = Where(same4, b, a)
  seen = Cast<to = 2>(a8)
  more = Add(skips, i1)
  counted = Where(same, more, i0)
}"""

_REMEMBER = """remember (uint8[1,2,4,3] frame) => (uint8[1,2,4,3] seen)
{
  seen = Identity(frame)
}"""

_PRIME = """prime_step (float[1,24] x, float[1,1] c)
  => (float[1,24] x_next, float[1,24] kept, float[1,24] feature)
<float two = {2}, float three = {3}, float m = {251}>
{
  x2 = Mul(x, two)
  x2c = Add(x2, c)
  x_next = Mod<fmod = 1>(x2c, m)
  kept = Identity(x_next)
  x3 = Mul(x, three)
  x3c = Add(x3, c)
  feature = Mod<fmod = 1>(x3c, m)
}"""

_UNET = """unet_step (float[1,24] z, float[1,24] x_buf, float[2,24] bank, float[2,1] c)
  => (float[1,24] x_next, float[1,24] clean, float[2,24] feature)
<float two = {2}, float three = {3}, float m = {251}, int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i2 = {2}>
{
  x = Concat<axis = 0>(z, x_buf)
  x2 = Mul(x, two)
  x2c = Add(x2, c)
  x2cb = Add(x2c, bank)
  y = Mod<fmod = 1>(x2cb, m)
  x3 = Mul(x, three)
  x3c = Add(x3, c)
  feature = Mod<fmod = 1>(x3c, m)
  x_next = Slice(y, i0, i1, i0)
  clean = Slice(y, i1, i2, i0)
}"""

_UPDATE = (
    """bank_update (float[2,24] bank, float[2,24] feature) => (float[2,24] merged, bool[1] ok)
<float two = {2}, float m = {251}, float bad = {77}, float zero = {0}, int64[2] i00 = {0,0},
 int64[2] i11 = {1,1},
 int64[2] axes = {0,1}, int64[1] i1 = {1}>
{
  f0 = Slice(feature, i00, i11, axes)
  gap = Sub(bad, f0)
  nan = Div(zero, gap)
  f2 = Mul(feature, two)
  sum = Add(bank, f2)
  mm = Mod<fmod = 1>(sum, m)
  merged = Add(mm, nan)"""
    + finite("merged")
    + "\n}"
)

_DECODE = """decode (float[1,24] z) => (uint8[1,2,4,3] y, uint8[1,2,4,3] shown)
<int64[4] hwc = {1,2,4,3}>
{
  u8 = Cast<to = 2>(z)
  y = Reshape(u8, hwc)
  shown = Identity(y)
}"""


def streamv2v() -> Synthetic:
    encode = Call("encode", "encode", {"frame": "video"}, {"z": "z", "ok": None}, check=("ok",))
    prime = Phase(
        "prime",
        1,
        (
            Call("remember", "remember", {"frame": "video"}, {"seen": "last"}),
            encode,
            Call(
                "prime0",
                "prime_step",
                {"x": "z", "c": View("table", 0, 1)},
                {"x_next": "x1", "kept": "x_buf", "feature": View("bank", 0, 1)},
            ),
            Call(
                "prime1",
                "prime_step",
                {"x": "x1", "c": View("table", 1, 1)},
                {"x_next": "x2", "kept": None, "feature": View("bank", 1, 1)},
            ),
            Call("decode", "decode", {"z": "x2"}, {"y": "out", "shown": "shown"}),
        ),
        emit=Emit("out"),
    )
    stream = Phase(
        "stream",
        "forever",
        (
            Call(
                "similar",
                "similar",
                {"frame": "video", "last": "last", "skips": "skips"},
                {"same": "same", "seen": "last", "counted": "skips"},
            ),
            encode,
            Call(
                "unet",
                "unet_step",
                {"z": "z", "x_buf": "x_buf", "bank": "bank", "c": "table"},
                {"x_next": "x_buf", "clean": "clean", "feature": "feature"},
            ),
            Call("decode", "decode", {"z": "clean"}, {"y": "out", "shown": "shown"}),
            Call(
                "bank_update",
                "bank_update",
                {"bank": "bank", "feature": "feature"},
                {"merged": "bank", "ok": None},
                when=Every(INTERVAL, (0,)),
                late=True,
                check=("ok",),
            ),
        ),
        skip=Skip("same", "shown"),
        emit=Emit("out", drop_first=ROWS - 1),
    )
    spec = FrameSpec(HEIGHT, WIDTH)
    picture_slot = Slot("uint8", (1, HEIGHT, WIDTH, 3))
    program = Program(
        inputs={"video": spec},
        outputs={"styled": spec},
        phases=(prime, stream),
        max_frames=1,
        slots={
            "last": picture_slot,
            "shown": picture_slot,
            "skips": Slot("int64", (1,)),
            "x_buf": Slot("float", (ROWS - 1, 24)),
            "bank": Slot("float", (ROWS, 24)),
        },
        consts={"table": Const("float", (ROWS, 1), BlobRef("blobs/tables.safetensors", "table"))},
    )
    models = {
        "similar": _SIMILAR,
        "remember": _REMEMBER,
        "encode": ENCODE,
        "prime_step": _PRIME,
        "unet_step": _UNET,
        "decode": _DECODE,
        "bank_update": _UPDATE,
    }
    return Synthetic("streamv2v", program, models, StreamV2VSimulation, {"table": TABLE})


class StreamV2VSimulation(Simulation):
    """Rows, bank and filter as plain variables."""

    def __init__(self) -> None:
        super().__init__()
        self.primed = False
        self.bank: list[NDArray[np.int64]] = []
        self.accepted: Frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        self.shown: Frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        self.skips = 0
        self.since = 0
        self.handed_over = False

    def gather(self) -> int:
        return 1

    def lacks(self, phase: str) -> bool:
        return phase == "stream" and not self.bank

    def go_to(self, phase: str) -> None:
        self.primed = phase == "stream"
        self.since = 0

    def step(self, frames: list[Frame]) -> list[Frame]:
        if not self.primed:
            return self._prime(frames[0])
        if np.array_equal(frames[0], self.accepted) and self.skips < MOST_SKIPS:
            if self.handed_over and not self.flushing:
                self.skips += 1
                return [self.shown]
            self.skips += 1
        else:
            self.accepted, self.skips = frames[0], 0
        return self._stream(modulo(3 * pixels(frames[0]) + 1))

    def _prime(self, frame: Frame) -> list[Frame]:
        x = modulo(3 * pixels(frame) + 1)
        (c0,), (c1,) = TABLE.astype(int)
        self.accepted = frame
        self.bank = [modulo(3 * x + c0), np.zeros(24, np.int64)]
        self.buffered = modulo(2 * x + c0)
        self.bank[1] = modulo(3 * self.buffered + c1)
        self.shown = picture(modulo(2 * self.buffered + c1))
        self.primed = True
        self.handed_over = True
        return [self.shown]

    def _stream(self, z: NDArray[np.int64]) -> list[Frame]:
        rows = [z, self.buffered]
        c = TABLE[:, 0].astype(int)
        moved = [modulo(2 * rows[r] + c[r] + self.bank[r]) for r in range(ROWS)]
        features = [modulo(3 * rows[r] + c[r]) for r in range(ROWS)]
        if self.since % INTERVAL == 0:
            if features[0][0] == BAD_FEATURE:
                self.late_failed = True
            else:
                self.bank = [modulo(b + 2 * f) for b, f in zip(self.bank, features, strict=True)]
        self.buffered = moved[0]
        self.shown = picture(moved[1])
        self.since += 1
        if self.since < ROWS:
            return []
        self.handed_over = True
        return [self.shown]

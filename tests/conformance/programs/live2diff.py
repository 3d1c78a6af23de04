"""Live2Diff with 3 steps in flight: a warm-up over 8 frames fills the sinks, then a ring of K/V entries.

The ring has 4 entries of one common physical slot for all rows (the method's section 7.1 (d)): entry
``count % 4`` takes the new K/V, row r sees the ``min(s - r + 1, 4)`` newest, and the entry about to be
overwritten is selected away. So the variant that writes the ring in place gives the same output.
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
from numpy.typing import NDArray
from v2v_runtime.manifest.model import (
    BlobRef,
    Call,
    CallOverride,
    Const,
    Emit,
    FrameSpec,
    Phase,
    Program,
    Ring,
    Slot,
    View,
)

STEPS = 3
WARMUP = 8
LENGTH = 4
TABLE = np.array([[3, 17], [5, 29], [2, 41]], np.float32)
NOISE = (np.arange(5 * 24, dtype=np.float32).reshape(5, 24) * 7) % 251


def _encoder(name: str, frames: int) -> str:
    return f"""{name} (uint8[{frames},2,4,3] frames) => (float[{frames},24] z, float[{frames},24] depth,
 bool[1] ok)
<int64[2] flat = {{{frames},24}}, float three = {{3}}, float one = {{1}}, float thirteen = {{13}},
 float m = {{251}}, float bad = {{255}}, float zero = {{0}}, int64[1] i0 = {{0}}, int64[1] i1 = {{1}}>
{{{opening("frames", "three", "one", "z")}
  xd = Add(x, thirteen)
  depth = Mod<fmod = 1>(xd, m){finite("z")}
}}"""


def _decoder(name: str, frames: int) -> str:
    return f"""{name} (float[{frames},24] z) => (uint8[{frames},2,4,3] y)
<int64[4] hwc = {{{frames},2,4,3}}>
{{
  u8 = Cast<to = 2>(z)
  y = Reshape(u8, hwc)
}}"""


_DENOISE_ALL = """denoise_all (float[8,24] z, float[8,24] depth, float[1,2] c)
  => (float[8,24] z_next, float[1,8,24] kv)
<float two = {2}, float m = {251}, int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i2 = {2},
 int64[1] axis1 = {1}>
{
  c0 = Slice(c, i0, i1, axis1)
  c1 = Slice(c, i1, i2, axis1)
  dc = Mul(depth, c0)
  zd = Add(z, dc)
  zdc = Add(zd, c1)
  z_next = Mod<fmod = 1>(zdc, m)
  z2 = Mul(z, two)
  z2d = Add(z2, depth)
  z2dc = Add(z2d, c1)
  kvm = Mod<fmod = 1>(z2dc, m)
  kv = Unsqueeze(kvm, i0)
}"""

_UNET_STEP = (
    """unet_step (float[1,24] z, float[1,24] depth, float[2,24] x_buf, float[2,24] d_buf,
    float[3,8,24] sinks, float[4,3,24] ring, int64[1] count, int64[1] frame_index, float[3,2] c,
    float[5,24] noise)
  => (float[1,3,24] kv, float[2,24] x_next, float[2,24] d_next, float[1,24] clean, bool[1] ok)
<float two = {2}, float m = {251}, float zero = {0}, int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i2 = {2},
 int64[1] i3 = {3}, int64[1] i4 = {4}, int64[1] axis1 = {1}, int64[4,1] j = {0,1,2,3},
 int64[1,3] r = {0,1,2}, int64[1] eight = {8}, int64[1] five = {5}, int64[1] zero_i = {0},
 float[1,8,1] weights = {1,2,3,4,5,6,7,8}, int64[3] entry = {4,1,1}, int64[3] column = {4,3,1}>
{
  x = Concat<axis = 0>(z, x_buf)
  d = Concat<axis = 0>(depth, d_buf)
  c0 = Slice(c, i0, i1, axis1)
  c1 = Slice(c, i1, i2, axis1)
  x2 = Mul(x, two)
  x2d = Add(x2, d)
  x2dc = Add(x2d, c1)
  kvm = Mod<fmod = 1>(x2dc, m)
  kv = Unsqueeze(kvm, i0)
  slot = Mod(count, i4)
  is_own = Equal(j, slot)
  own = Reshape(is_own, entry)
  k = Where(own, kv, ring)
  seen = Sub(count, r)
  seen1 = Add(seen, i1)
  some = Max(seen1, zero_i)
  opened = Min(some, i4)
  since = Sub(count, j)
  age = Mod(since, i4)
  open = Less(age, opened)
  pe8 = Add(opened, eight)
  pe7 = Sub(pe8, i1)
  pe = Sub(pe7, age)
  pef = Cast<to = 1>(pe)
  pe3 = Reshape(pef, column)
  open3 = Reshape(open, column)
  kp = Mul(k, pe3)
  visible = Where(open3, kp, zero)
  recent = ReduceSum<keepdims = 0>(visible, i0)
  weighted = Mul(sinks, weights)
  sunk = ReduceSum<keepdims = 0>(weighted, i1)
  both = Add(recent, sunk)
  attention = Mod<fmod = 1>(both, m)
  dc = Mul(d, c0)
  xa = Add(x, attention)
  xad = Add(xa, dc)
  x0 = Mod<fmod = 1>(xad, m)
  clean = Slice(x0, i2, i3, i0)
  early = Slice(x0, i0, i2, i0)
  pick = Mod(frame_index, five)
  n = Gather(noise, pick)
  noisy = Add(early, n)
  x_next = Mod<fmod = 1>(noisy, m)
  d_next = Slice(d, i0, i2, i0)"""
    + finite("x0")
    + "\n}"
)


def live2diff() -> Synthetic:
    denoise = tuple(
        Call(
            f"denoise{i}",
            "denoise_all",
            {"z": f"z{i}", "depth": "depths", "c": View("table", i, 1)},
            {"z_next": f"z{i + 1}", "kv": View("sinks", i, 1)},
        )
        for i in range(STEPS)
    )
    encode_all = Call(
        "encode_all",
        "encode_all",
        {"frames": "video"},
        {"z": "z0", "depth": "depths", "ok": None},
        check=("ok",),
    )
    warmup = Phase(
        "warmup",
        1,
        (encode_all, *denoise, Call("decode_all", "decode_all", {"z": f"z{STEPS}"}, {"y": "out"})),
        gather=WARMUP,
        emit=Emit("out"),
    )
    unet = Call(
        "unet",
        "unet_step",
        {
            "z": "z",
            "depth": "depth",
            "x_buf": "x_buf",
            "d_buf": "d_buf",
            "sinks": "sinks",
            "ring": "kv",
            "count": "kv.count",
            "frame_index": "frame_index",
            "c": "table",
            "noise": "noise",
        },
        {"kv": "kv", "x_next": "x_buf", "d_next": "d_buf", "clean": "clean", "ok": None},
        check=("ok",),
    )
    encode = Call(
        "encode", "encode", {"frames": "video"}, {"z": "z", "depth": "depth", "ok": None}, check=("ok",)
    )
    stream = Phase(
        "stream",
        "forever",
        (encode, unet, Call("decode", "decode", {"z": "clean"}, {"y": "out"})),
        resets=("kv", "x_buf", "d_buf"),
        emit=Emit("out", drop_first=STEPS - 1),
    )
    spec = FrameSpec(HEIGHT, WIDTH)
    program = Program(
        inputs={"video": spec},
        outputs={"video_out": spec},
        phases=(warmup, stream),
        max_frames=WARMUP,
        slots={
            "sinks": Slot("float", (STEPS, WARMUP, 24)),
            "kv": Slot("float", (LENGTH, STEPS, 24), ring=Ring(LENGTH)),
            "x_buf": Slot("float", (STEPS - 1, 24)),
            "d_buf": Slot("float", (STEPS - 1, 24)),
        },
        consts={
            "table": Const("float", (STEPS, 2), BlobRef("blobs/tables.safetensors", "table")),
            "noise": Const("float", (5, 24), BlobRef("blobs/tables.safetensors", "noise")),
        },
    )
    return Synthetic(
        "live2diff",
        program,
        {
            "encode_all": _encoder("encode_all", WARMUP),
            "denoise_all": _DENOISE_ALL,
            "decode_all": _decoder("decode_all", WARMUP),
            "encode": _encoder("encode", 1),
            "unet_step": _UNET_STEP,
            "decode": _decoder("decode", 1),
        },
        Live2DiffSimulation,
        blobs={"table": TABLE, "noise": NOISE},
        resident_phase=frozenset({"encode_all", "denoise_all", "decode_all"}),
        overrides={"stream/unet": CallOverride(in_place=("kv",))},
    )


class Live2DiffSimulation(Simulation):
    """The method's section 9.5, with every past K/V kept in a list and the window cut out of it."""

    def __init__(self) -> None:
        super().__init__()
        self.frame_index = 0
        self.go_to("warmup")
        self.sinks: list[list[NDArray[np.int64]]] = []

    def gather(self) -> int:
        return WARMUP if self.warming else 1

    def lacks(self, phase: str) -> bool:
        return phase == "stream" and not self.sinks

    def go_to(self, phase: str) -> None:
        self.warming = phase == "warmup"
        self._restart()

    def _restart(self) -> None:
        # One list per row: what the row has attended to, oldest first. Frame f reaches row r at step f + r.
        self.past: list[list[NDArray[np.int64]]] = [[] for _ in range(STEPS)]
        self.flight = [(np.zeros(24, np.int64), np.zeros(24, np.int64)) for _ in range(STEPS - 1)]
        self.since = 0

    def step(self, frames: list[Frame]) -> list[Frame]:
        encoded = [(modulo(3 * pixels(f) + 1), modulo(pixels(f) + 13)) for f in frames]
        if self.warming:
            out = self._warm_up(encoded)
            self.warming = False
            self._restart()
        else:
            out = self._stream(*encoded[0])
        self.frame_index += len(frames)
        return out

    def _warm_up(self, encoded: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> list[Frame]:
        latents = [z for z, _ in encoded]
        self.sinks = []
        for c0, c1 in TABLE.astype(int):
            self.sinks.append([modulo(2 * z + d + c1) for z, (_, d) in zip(latents, encoded, strict=True)])
            latents = [modulo(z + d * c0 + c1) for z, (_, d) in zip(latents, encoded, strict=True)]
        return [picture(z) for z in latents]

    def _stream(self, z: NDArray[np.int64], depth: NDArray[np.int64]) -> list[Frame]:
        rows = [(z, depth), *self.flight]
        noise = NOISE[self.frame_index % 5].astype(np.int64)
        done = []
        for r, (x, d) in enumerate(rows):
            c0, c1 = TABLE[r].astype(int)
            if self.since >= r:
                self.past[r].append(modulo(2 * x + d + c1))
            window = self.past[r][-LENGTH:]
            attention = sum((8 + rank) * kv for rank, kv in enumerate(window))
            attention = attention + sum((i + 1) * s for i, s in enumerate(self.sinks[r]))
            done.append(modulo(x + modulo(attention) + d * c0))
        self.flight = [(modulo(done[r] + noise), rows[r][1]) for r in range(STEPS - 1)]
        self.since += 1
        return [picture(done[-1])] if self.since >= STEPS else []

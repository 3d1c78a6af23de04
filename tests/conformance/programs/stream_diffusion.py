"""StreamDiffusion with 3 rows in flight, and STD as 4 listed calls: samplers are tables at ports.

The text encoder runs when the prompt has changed, the cross-attention keys when the prompt or the guidance
has; every sampler is ``x <- A x + B o + C n`` from a param table, with noise picked by ``frame_index``.
"""

from __future__ import annotations

from typing import Any

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
    Changed,
    Const,
    Emit,
    FrameSpec,
    Param,
    Phase,
    Program,
    Slot,
    View,
)

ROWS = 3
LISTED = 4
NOISES = 4
PROMPT = np.array([[5, 9, 2, 7]], np.int32)
GUIDANCE = np.array([3], np.float32)
TABLE = np.array([[1, 2, 1], [2, 1, 1], [1, 3, 0]], np.float32)
LISTED_TABLE = np.array([[1, 2], [2, 1], [1, 3], [3, 1]], np.float32)
NOISE = (np.arange(NOISES * 24, dtype=np.float32).reshape(NOISES, 24) * 5) % 251

_TEXT = """text_encoder (int32[1,4] tokens) => (float[4,6] cond)
<float five = {5}, float m = {251}, float[1,6] columns = {0,1,2,3,4,5}, int64[2] tall = {4,1}>
{
  wide = Cast<to = 1>(tokens)
  column = Reshape(wide, tall)
  t5 = Mul(column, five)
  sum = Add(t5, columns)
  cond = Mod<fmod = 1>(sum, m)
}"""

_CROSS = """cross_kv (float[4,6] cond, float[1] scale) => (float[1,24] k)
<int64[2] flat = {1,24}, float m = {251}>
{
  row = Reshape(cond, flat)
  scaled = Mul(row, scale)
  k = Mod<fmod = 1>(scaled, m)
}"""

ENCODE = (
    """encode (uint8[1,2,4,3] frame) => (float[1,24] z, bool[1] ok)
<int64[2] flat = {1,24}, float three = {3}, float one = {1}, float m = {251}, float bad = {255},
 float zero = {0}, int64[1] i0 = {0}, int64[1] i1 = {1}>
{"""
    + opening("frame", "three", "one", "z")
    + finite("z")
    + "\n}"
)

_UNET = """unet (float[1,24] z, float[2,24] x_buf, float[1,24] k) => (float[3,24] o, float[3,24] x_t)
<float two = {2}, float m = {251}, float[3,1] row = {0,1,2}>
{
  x_t = Concat<axis = 0>(z, x_buf)
  x2 = Mul(x_t, two)
  x2k = Add(x2, k)
  x2kr = Add(x2k, row)
  o = Mod<fmod = 1>(x2kr, m)
}"""

_SAMPLE = """sample (float[3,24] x_t, float[3,24] o, float[3,3] abc, float[4,24] noise, int64[1] index)
  => (float[1,24] clean, float[2,24] x_next)
<float m = {251}, int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i2 = {2}, int64[1] i3 = {3},
 int64[1] four = {4}, int64[1] axis1 = {1}>
{
  a = Slice(abc, i0, i1, axis1)
  b = Slice(abc, i1, i2, axis1)
  c = Slice(abc, i2, i3, axis1)
  pick = Mod(index, four)
  n = Gather(noise, pick)
  ax = Mul(a, x_t)
  bo = Mul(b, o)
  cn = Mul(c, n)
  axbo = Add(ax, bo)
  sum = Add(axbo, cn)
  x = Mod<fmod = 1>(sum, m)
  clean = Slice(x, i2, i3, i0)
  x_next = Slice(x, i0, i2, i0)
}"""

_DECODE = """decode (float[1,24] z) => (uint8[1,2,4,3] y)
<int64[4] hwc = {1,2,4,3}>
{
  u8 = Cast<to = 2>(z)
  y = Reshape(u8, hwc)
}"""

_UNET_LISTED = """unet_listed (float[1,24] x, float[1,24] k, float[1,2] ab, float[1,24] before)
  => (float[1,24] x_next)
<float two = {2}, float m = {251}, int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i2 = {2}>
{
  a = Slice(ab, i0, i1, i1)
  b = Slice(ab, i1, i2, i1)
  x2 = Mul(x, two)
  x2k = Add(x2, k)
  x2kp = Add(x2k, before)
  o = Mod<fmod = 1>(x2kp, m)
  ax = Mul(a, x)
  bo = Mul(b, o)
  sum = Add(ax, bo)
  x_next = Mod<fmod = 1>(sum, m)
}"""

_KEEP = """keep (float[1,24] z) => (float[1,24] kept)
{
  kept = Identity(z)
}"""


def _blob(name: str) -> BlobRef:
    return BlobRef("blobs/tables.safetensors", name)


def _conditioning() -> tuple[Call, ...]:
    return (
        Call("text", "text_encoder", {"tokens": "prompt"}, {"cond": "cond"}, when=Changed(("prompt",))),
        Call(
            "cross_kv",
            "cross_kv",
            {"cond": "cond", "scale": "guidance"},
            {"k": "k"},
            when=Changed(("guidance", "prompt")),
        ),
        Call("encode", "encode", {"frame": "video"}, {"z": "z", "ok": None}, check=("ok",)),
    )


def _program(calls: tuple[Call, ...], drop: int, slots: dict[str, Slot], **more: Any) -> Program:
    spec = FrameSpec(HEIGHT, WIDTH)
    params = {
        "prompt": Param("int32", (1, 4), _blob("prompt")),
        "guidance": Param("float", (1,), _blob("guidance")),
        "abc": Param("float", more.pop("table"), _blob("abc")),
    }
    return Program(
        inputs={"video": spec},
        outputs={"shown": spec},
        phases=(Phase("stream", "forever", calls, emit=Emit("out", drop_first=drop)),),
        max_frames=1,
        slots={"cond": Slot("float", (4, 6)), "k": Slot("float", (1, 24)), **slots},
        params=params,
        **more,
    )


def stream_diffusion() -> Synthetic:
    """One UNet call on 3 rows: outputs lag two frames behind."""
    calls = (
        *_conditioning(),
        Call("unet", "unet", {"z": "z", "x_buf": "x_buf", "k": "k"}, {"o": "o", "x_t": "x_t"}),
        Call(
            "sample",
            "sample",
            {"x_t": "x_t", "o": "o", "abc": "abc", "noise": "noise", "index": "frame_index"},
            {"clean": "clean", "x_next": "x_buf"},
        ),
        Call("decode", "decode", {"z": "clean"}, {"y": "out"}),
    )
    program = _program(
        calls,
        ROWS - 1,
        {"x_buf": Slot("float", (ROWS - 1, 24))},
        table=(ROWS, 3),
        consts={"noise": Const("float", (NOISES, 24), _blob("noise"))},
    )
    models = {
        "text_encoder": _TEXT,
        "cross_kv": _CROSS,
        "encode": ENCODE,
        "unet": _UNET,
        "sample": _SAMPLE,
        "decode": _DECODE,
    }
    blobs = {"prompt": PROMPT, "guidance": GUIDANCE, "abc": TABLE, "noise": NOISE}
    return Synthetic("stream_diffusion", program, models, StreamDiffusionSimulation, blobs)


def std() -> Synthetic:
    """Four listed calls with different rows of the table; the clean latent of the frame before is a slot."""
    listed = tuple(
        Call(
            f"unet{i}",
            "unet_listed",
            {"x": f"x{i}" if i else "z", "k": "k", "ab": View("abc", i, 1), "before": "clean"},
            {"x_next": f"x{i + 1}"},
        )
        for i in range(LISTED)
    )
    calls = (
        *_conditioning(),
        *listed,
        Call("keep", "keep", {"z": f"x{LISTED}"}, {"kept": "clean"}),
        Call("decode", "decode", {"z": f"x{LISTED}"}, {"y": "out"}),
    )
    program = _program(calls, 0, {"clean": Slot("float", (1, 24))}, table=(LISTED, 2))
    models = {
        "text_encoder": _TEXT,
        "cross_kv": _CROSS,
        "encode": ENCODE,
        "unet_listed": _UNET_LISTED,
        "keep": _KEEP,
        "decode": _DECODE,
    }
    blobs = {"prompt": PROMPT, "guidance": GUIDANCE, "abc": LISTED_TABLE}
    return Synthetic("std", program, models, StdSimulation, blobs)


class ConditionedSimulation(Simulation):
    """Prompt, guidance and table as they are now; keys are computed afresh for every frame."""

    def __init__(self, table: NDArray[np.float32]) -> None:
        super().__init__()
        self.prompt, self.guidance, self.abc = PROMPT[0], int(GUIDANCE[0]), table.astype(int)

    def gather(self) -> int:
        return 1

    def set_params(self, **values: Any) -> None:
        self.settle()
        if "prompt" in values:
            self.prompt = values["prompt"][0]
        if "guidance" in values:
            self.guidance = int(values["guidance"][0])
        if "abc" in values:
            self.abc = values["abc"].astype(int)

    def keys(self) -> NDArray[np.int64]:
        cond = [(5 * int(token) + column) % 251 for token in self.prompt for column in range(6)]
        return modulo(np.array(cond) * self.guidance)


class StreamDiffusionSimulation(ConditionedSimulation):
    """Each frame follows its own way down the rows, one row per step."""

    def __init__(self) -> None:
        super().__init__(TABLE)
        self.begin()

    def begin(self) -> None:
        self.flight: list[NDArray[np.int64]] = [np.zeros(24, np.int64)] * (ROWS - 1)
        self.since = 0
        self.frame_index = 0

    def go_to(self, phase: str) -> None:
        self.since = 0

    def step(self, frames: list[Frame]) -> list[Frame]:
        rows = [modulo(3 * pixels(frames[0]) + 1), *self.flight]
        noise = NOISE[self.frame_index % NOISES].astype(np.int64)
        moved = []
        for row, x in enumerate(rows):
            a, b, c = self.abc[row]
            o = modulo(2 * x + self.keys() + row)
            moved.append(modulo(a * x + b * o + c * noise))
        self.flight = moved[:-1]
        self.since += 1
        self.frame_index += 1
        return [picture(moved[-1])] if self.since >= ROWS else []


class StdSimulation(ConditionedSimulation):
    """Four updates per frame."""

    def __init__(self) -> None:
        super().__init__(LISTED_TABLE)
        self.clean = np.zeros(24, np.int64)

    def go_to(self, phase: str) -> None:
        """The one phase resets nothing."""

    def step(self, frames: list[Frame]) -> list[Frame]:
        x = modulo(3 * pixels(frames[0]) + 1)
        for a, b in self.abc:
            x = modulo(a * x + b * modulo(2 * x + self.keys() + self.clean))
        self.clean = x
        return [picture(x)]

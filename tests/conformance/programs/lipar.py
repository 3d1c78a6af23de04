"""LIPAR: chunks of 12 frames, 3 latent frames of 8 tokens; only tokens that changed are transformed.

``plan`` compacts the kept tokens with CumSum and a scatter, pads them by repeating the last one, and makes
two source maps: for denoising, a pruned token takes the clean memory of its place from the chunk before; for
memory, the token of the frame before (a chain). ``dit_step`` runs three times on a bucket of rows and is left
out when nothing is kept; ``assemble`` restores the chunk whatever the count. Late, a fourth ``dit_step`` and
``remember`` write the chunk's memory. The first chunk keeps every token; its first frame becomes the sink.
"""

from __future__ import annotations

import numpy as np
from conformance.programs.base import HEIGHT, WIDTH, Frame, Simulation, StepError, Synthetic, modulo
from conformance.programs.texts import finite
from numpy.typing import NDArray
from v2v_runtime.manifest.model import (
    BlobRef,
    Call,
    Const,
    Emit,
    FrameSpec,
    Phase,
    Program,
    Rows,
    Slot,
    View,
)

CHUNK, LATENTS, PLACES = 12, 3, 8
TOKENS = LATENTS * PLACES
THRESHOLD = 5
BUCKETS = (8, 16, 24)
TIMES = np.array([7, 5, 3, 0], np.float32)

_LATENTS = """
  wide = Cast<to = 1>(frames)
  x = Reshape(wide, groups)
  sum = ReduceSum<keepdims = 0>(x, summed)
  lat0 = Mod<fmod = 1>(sum, m)
  first = Slice(wide, i0000, i1111, axes4)
  first1 = Reshape(first, one_one)
  gap = Sub(bad, first1)
  nan = Div(zero, gap)
  lat = Add(lat0, nan)
  latn = Unsqueeze(lat, i2)
  lat3 = Mul(latn, three)
  lat3m = Mod<fmod = 1>(lat3, m)
  x2 = Concat<axis = 2>(latn, lat3m)
  tokens = Reshape(x2, flat2)
  last = Slice(lat, i2, i3, i0)
  history_next = Reshape(last, places)""" + finite("lat")
_CONSTANTS = """int64[4] groups = {3,4,8,3}, int64[2] summed = {1,3}, float m = {251}, float bad = {255},
 float zero = {0}, float three = {3}, int64[4] i0000 = {0,0,0,0}, int64[4] i1111 = {1,1,1,1},
 int64[4] axes4 = {0,1,2,3}, int64[2] one_one = {1,1}, int64[2] flat2 = {24,2}, int64[1] places = {8},
 int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i2 = {2}, int64[1] i3 = {3}"""
_OUTPUTS = """float[24,2] kept, int32[1] count, int64[24] denoise_map, int64[24] memory_map,
 float[8] history_next,
    bool[1] ok"""

_IOTA = ",".join(map(str, range(TOKENS)))
_PLACE = ",".join(str(i % PLACES) for i in range(TOKENS))

_PLAN_FIRST = f"""plan_first (uint8[12,2,4,3] frames) => ({_OUTPUTS})
<{_CONSTANTS}, int64[24] all = {{{",".join(str(TOKENS + i) for i in range(TOKENS))}}},
 int32[1] everything = {{24}}>
{{{_LATENTS}
  kept = Identity(tokens)
  count = Identity(everything)
  denoise_map = Identity(all)
  memory_map = Identity(all)
}}"""

_PLAN = f"""plan (uint8[12,2,4,3] frames, float[8] history) => ({_OUTPUTS})
<{_CONSTANTS}, int64[24] iota = {{{_IOTA}}}, int64[25] dump = {{{",".join(["0"] * 25)}}},
 int64 nowhere = {{24}}, int64 after = {{24}}, int64 none = {{0}}, float threshold = {{5}},
 int64[2] row = {{1,8}},
 int64[1] flat1 = {{24}}, int64[1] i24 = {{24}}, int64[1] i8 = {{8}}, int64[1] i16 = {{16}},
 int64 axis = {{0}}>
{{{_LATENTS}
  before0 = Reshape(history, row)
  before12 = Slice(lat, i0, i2, i0)
  before = Concat<axis = 0>(before0, before12)
  d = Sub(lat, before)
  far = Abs(d)
  keep2 = Greater(far, threshold)
  keep = Reshape(keep2, flat1)
  k64 = Cast<to = 7>(keep)
  seen = CumSum(k64, axis)
  rank = Sub(seen, i1)
  place = Where(keep, rank, nowhere)
  scattered = ScatterElements<axis = 0>(dump, place, iota)
  front = Slice(scattered, i0, i24, i0)
  n = ReduceSum<keepdims = 1>(k64, i0)
  count = Cast<to = 6>(n)
  ids = Mul(k64, iota)
  highest = ReduceMax<keepdims = 1>(ids, i0)
  valid = Less(iota, n)
  index = Where(valid, front, highest)
  kept = Gather(tokens, index)
  row_of = Add(rank, after)
  denoise_map = Where(keep, row_of, iota)
  k0 = Slice(keep, i0, i8, i0)
  k1 = Slice(keep, i8, i16, i0)
  k2 = Slice(keep, i16, i24, i0)
  r0 = Slice(row_of, i0, i8, i0)
  r1 = Slice(row_of, i8, i16, i0)
  r2 = Slice(row_of, i16, i24, i0)
  own = Slice(iota, i0, i8, i0)
  m0 = Where(k0, r0, own)
  m1 = Where(k1, r1, m0)
  m2 = Where(k2, r2, m1)
  memory_map = Concat<axis = 0>(m0, m1, m2)
}}"""

_DIT = """dit_step (float[N,2] kept, int64[24] map, float[8,2] fill, float[24,2] previous,
 float[8,2] sink, float[1] t)
  => (float[N,2] moved, float[N,2] k)
<float two = {2}, float m = {251}, int64[1] i0 = {0}>
{
  k2 = Mul(kept, two)
  k2t = Add(k2, t)
  k = Mod<fmod = 1>(k2t, m)
  all = Concat<axis = 0>(fill, fill, fill, k)
  chunk = Gather(all, map)
  a = ReduceSum<keepdims = 1>(chunk, i0)
  b = ReduceSum<keepdims = 1>(previous, i0)
  c = ReduceSum<keepdims = 1>(sink, i0)
  ab = Add(a, b)
  abc = Add(ab, c)
  sum = Add(kept, abc)
  sumt = Add(sum, t)
  moved = Mod<fmod = 1>(sumt, m)
}"""

_ASSEMBLE = """assemble (float[24,2] kept, int64[24] map, float[8,2] restored)
  => (uint8[12,2,4,3] y, float[8,2] last)
<int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i16 = {16}, int64[1] i24 = {24},
 int64[5] spread = {3,1,2,4,1},
 float[1,4,1,1,1] quarter = {0,1,2,3}, float[1,1,1,1,3] channel = {0,1,2}, float bytes = {256},
 int64[4] hwc = {12,2,4,3}>
{
  all = Concat<axis = 0>(restored, restored, restored, kept)
  whole = Gather(all, map)
  last = Slice(whole, i16, i24, i0)
  value = Slice(whole, i0, i1, i1)
  value5 = Reshape(value, spread)
  vq = Add(value5, quarter)
  vqc = Add(vq, channel)
  byte = Mod<fmod = 1>(vqc, bytes)
  u8 = Cast<to = 2>(byte)
  y = Reshape(u8, hwc)
}"""

_REMEMBER = """remember (float[24,2] k, int64[24] map, float[8,2] fill)
  => (float[24,2] chunk, float[8,2] fill_next, float[8,2] head)
<int64[1] i0 = {0}, int64[1] i8 = {8}, int64[1] i16 = {16}, int64[1] i24 = {24}>
{
  all = Concat<axis = 0>(fill, fill, fill, k)
  chunk = Gather(all, map)
  fill_next = Slice(chunk, i16, i24, i0)
  head = Slice(chunk, i0, i8, i0)
}"""


def _phase_calls(first: bool) -> tuple[Call, ...]:
    planned: dict[str, str | None] = {
        "kept": "kept0",
        "count": "count",
        "denoise_map": "denoise_map",
        "memory_map": "memory_map",
        "history_next": "history",
        "ok": None,
    }
    frames = {"frames": "video"}
    inputs = frames if first else {**frames, "history": "history"}
    plan = Call("plan", "plan_first" if first else "plan", inputs, planned, check=("ok",))

    def dit(i: int, late: bool) -> Call:
        state = {"fill": "fill", "previous": "previous", "sink": "sink"}
        return Call(
            f"dit{i}",
            "dit_step",
            {
                "kept": f"kept{i}",
                "map": "memory_map" if late else "denoise_map",
                **state,
                "t": View("times", i, 1),
            },
            {"moved": None if late else f"kept{i + 1}", "k": "memory_k" if late else None},
            rows=Rows("count", BUCKETS, ("kept", "moved", "k"), "skip"),
            late=late,
        )

    assemble = Call(
        "assemble",
        "assemble",
        {"kept": "kept3", "map": "memory_map", "restored": "restored"},
        {"y": "out", "last": "restored"},
    )
    remember = Call(
        "remember",
        "remember",
        {"k": "memory_k", "map": "memory_map", "fill": "fill"},
        {"chunk": "previous", "fill_next": "fill", "head": "sink" if first else None},
        late=True,
    )
    return (plan, *(dit(i, False) for i in range(3)), assemble, dit(3, True), remember)


def lipar() -> Synthetic:
    spec = FrameSpec(HEIGHT, WIDTH)
    program = Program(
        inputs={"video": spec},
        outputs={"edited": spec},
        phases=(
            Phase("first", 1, _phase_calls(True), gather=CHUNK, emit=Emit("out")),
            Phase("stream", "forever", _phase_calls(False), gather=CHUNK, emit=Emit("out")),
        ),
        max_frames=CHUNK,
        slots={
            "history": Slot("float", (PLACES,)),
            "fill": Slot("float", (PLACES, 2)),
            "previous": Slot("float", (TOKENS, 2)),
            "sink": Slot("float", (PLACES, 2)),
            "restored": Slot("float", (PLACES, 2)),
        },
        consts={"times": Const("float", (4,), BlobRef("blobs/tables.safetensors", "times"))},
    )
    models = {
        "plan_first": _PLAN_FIRST,
        "plan": _PLAN,
        "dit_step": _DIT,
        "assemble": _ASSEMBLE,
        "remember": _REMEMBER,
    }
    return Synthetic("lipar", program, models, LiparSimulation, {"times": TIMES}, rows={"dit_step": TOKENS})


Token = NDArray[np.int64]


class LiparSimulation(Simulation):
    """Token by token, with loops over frames and places as the method states them.

    Attributes:
        kept_counts: how many tokens each chunk kept, for tests that want every bucket and zero.
    """

    def __init__(self) -> None:
        super().__init__()
        nothing: Token = np.zeros(2, np.int64)
        self.started = False
        self.history: list[int] = []
        self.fill = [nothing] * PLACES
        self.previous = [[nothing] * PLACES for _ in range(LATENTS)]
        self.sink = [nothing] * PLACES
        self.restored = [nothing] * PLACES
        self.kept_counts: list[int] = []

    def gather(self) -> int:
        return CHUNK

    def lacks(self, phase: str) -> bool:
        return phase == "stream" and not self.history

    def go_to(self, phase: str) -> None:
        self.started = phase == "stream"

    def step(self, frames: list[Frame]) -> list[Frame]:
        if frames[0].flat[0] == 255:
            raise StepError
        latents = [self._latent(frames[4 * f : 4 * f + 4]) for f in range(LATENTS)]
        keep = self._keep(latents)
        x = {
            (f, p): np.array([latents[f][p], 3 * latents[f][p] % 251])
            for f in range(LATENTS)
            for p in range(PLACES)
            if keep[f][p]
        }
        self.kept_counts.append(len(x))
        for i in range(3):
            x = self._denoise(x, int(TIMES[i]), self._own_or_fill(self._keys(x, int(TIMES[i]))))
        pictures = self._restore(x)
        self._remember(self._keys(x, int(TIMES[3])))
        self.history = latents[-1]
        self.started = True
        return pictures

    def _latent(self, frames: list[Frame]) -> list[int]:
        return [
            sum(int(v) for frame in frames for v in frame.reshape(PLACES, 3)[p]) % 251 for p in range(PLACES)
        ]

    def _keep(self, latents: list[list[int]]) -> list[list[bool]]:
        if not self.started:
            return [[True] * PLACES for _ in range(LATENTS)]
        before = [self.history, *latents[:-1]]
        return [
            [abs(latents[f][p] - before[f][p]) > THRESHOLD for p in range(PLACES)] for f in range(LATENTS)
        ]

    def _keys(self, x: dict[tuple[int, int], Token], t: int) -> dict[tuple[int, int], Token]:
        return {where: modulo(2 * value + t) for where, value in x.items()}

    def _own_or_fill(self, keys: dict[tuple[int, int], Token]) -> list[Token]:
        return [keys.get((f, p), self.fill[p]) for f in range(LATENTS) for p in range(PLACES)]

    def _denoise(
        self, x: dict[tuple[int, int], Token], t: int, chunk: list[Token]
    ) -> dict[tuple[int, int], Token]:
        seen = sum(chunk) + sum(v for frame in self.previous for v in frame) + sum(self.sink)
        return {where: modulo(value + seen + t) for where, value in x.items()}

    def _restore(self, x: dict[tuple[int, int], Token]) -> list[Frame]:
        pictures = []
        for f in range(LATENTS):
            self.restored = [x.get((f, p), self.restored[p]) for p in range(PLACES)]
            values = np.array([token[0] for token in self.restored]).reshape(HEIGHT, WIDTH, 1)
            for quarter in range(4):
                pictures.append(((values + quarter + np.arange(3)) % 256).astype(np.uint8))
        return pictures

    def _remember(self, keys: dict[tuple[int, int], Token]) -> None:
        before = self.fill
        chunk = []
        for f in range(LATENTS):
            before = [keys.get((f, p), before[p]) for p in range(PLACES)]
            chunk.append(before)
        if not self.started:
            self.sink = chunk[0]
        self.previous, self.fill = chunk, before

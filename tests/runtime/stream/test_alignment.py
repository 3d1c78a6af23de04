"""Views that graphs cannot read or write where they lie are copied; what comes out stays the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.machines import Toy, picture, shown
from v2v_runtime.manifest.model import Call, Changed, Emit, Phase, Ring, Slot, View

ALIGNMENTS = (1, 256)
either = pytest.mark.parametrize("alignment", ALIGNMENTS)


def row(value: Any) -> np.ndarray:
    return np.full((1, 1), np.asarray(value).reshape(-1)[0], np.float32)


@either
def test_parts_of_everything_that_can_be_read(alignment: int) -> None:
    """The second row of a const, a param, a slot, a temporary, and the second frame of a step."""

    def mix(g: dict) -> dict:
        made = g["c"][0, 0] + g["p"][0, 0] + g["s"][0, 0] + g["t"][0, 0] + g["f"].flat[0]
        return {"y": np.stack([picture(made)[0]] * 2)}

    def make(g: dict) -> dict:
        return {"t": np.array([[1], [2]], np.float32) * float(g["x"][0].flat[0])}

    def keep(g: dict) -> dict:
        return {"s": g["t"] + 1}

    calls = (
        Call("make", "make", {"x": "video"}, {"t": "made"}),
        Call(
            "mix",
            "mix",
            {
                "c": View("table", 1, 1),
                "p": View("knobs", 1, 1),
                "s": View("kept", 1, 1),
                "t": View("made", 1, 1),
                "f": View("video", 1, 1),
            },
            {"y": "out"},
        ),
        Call("keep", "keep", {"t": "made"}, {"s": "kept"}),
    )
    toy = Toy(
        {
            "make": ("x:frames2", "t:f[2,1]", make),
            "mix": ("c:f[1,1] p:f[1,1] s:f[1,1] t:f[1,1] f:frame", "y:frames2", mix),
            "keep": ("t:f[2,1]", "s:f[2,1]", keep),
        },
        [Phase("play", "forever", calls, gather=2, emit=Emit("out"))],
        slots={"kept": Slot("float", (2, 1))},
        consts={"table": ("f[2,1]", np.array([[9], [100]], np.float32))},
        params={"knobs": ("f[2,1]", np.array([[9], [10]], np.float32))},
        max_frames=2,
        alignment=alignment,
    )
    with toy.stream() as stream, toy.stream() as other:
        # const 100, param 10, slot 0, temporary 2 * 1, second frame 3
        assert shown(stream, 1, 3) == [115, 115]
        stream.set_params(knobs=np.array([[9], [20]]))
        # const 100, param 20, slot 2 * 1 + 1, temporary 2 * 4, second frame 5
        assert shown(stream, 4, 5) == [136, 136]
        other.restore(stream.snapshot())
        assert shown(other, 4, 5) == shown(stream, 4, 5) == [142, 142]
        stream.reset(params=True)
        assert shown(stream, 1, 3) == [115, 115]
        # The slot's row, the temporary's and the frame, in each of four steps.
        assert stream.counters.copies == (0 if alignment == 1 else 12)


@either
def test_parts_of_a_slot_that_are_written(alignment: int) -> None:
    """Two views fill one slot; a third is one row of another; a ring's entry and a view are in place."""

    def write(g: dict) -> dict:
        x = float(g["x"].flat[0])
        shown_now = g["pair"].sum() + 10 * g["single"].sum() + np.nansum(g["ring"]) + g["spot"][0, 0]
        return {
            "a": row(x),
            "b": row(2 * x),
            "c": row(x),
            "e": row(x),
            "v": row(x),
            "y": picture(shown_now),
        }

    call = Call(
        "write",
        "write",
        {"x": "video", "pair": "pair", "single": "single", "ring": "ring", "spot": "spot"},
        {
            "a": View("pair", 0, 1),
            "b": View("pair", 1, 1),
            "c": View("single", 1, 1),
            "e": "ring",
            "v": View("spot", 1, 1),
            "y": "out",
        },
        in_place=("e", "v"),
    )
    toy = Toy(
        {
            "write": (
                "x:frame pair:f[2,1] single:f[2,1] ring:f[2,1] spot:f[2,1]",
                "a:f[1,1] b:f[1,1] c:f[1,1] e:f[1,1] v:f[1,1] y:frame",
                write,
            )
        },
        [Phase("play", "forever", (call,), emit=Emit("out"))],
        slots={
            "pair": Slot("float", (2, 1)),
            "single": Slot("float", (2, 1)),
            "ring": Slot("float", (2, 1), ring=Ring(2)),
            "spot": Slot("float", (2, 1)),
        },
        alignment=alignment,
    )
    with toy.stream() as stream:
        # 3 x of the pair, 10 x of the single, the ring's last two.
        assert shown(stream, 1, 2, 3) == [0, 3 + 10 + 1, 6 + 20 + 3]
        slots = {name: value[:, 0].tolist() for name, value in stream.slots().items()}
        assert slots == {"pair": [3, 6], "single": [0, 3], "ring": [3, 2], "spot": [0, 3]}
        # A row 1 lies at 4 bytes: a copy for pair's, spot's and the ring's; single's is staged anyway.
        assert stream.counters.copies == (3 if alignment == 1 else 3 * 4)


@either
def test_a_derived_slot_in_parts_is_read_in_the_same_step(alignment: int) -> None:
    def draw(g: dict) -> dict:
        return {"y": picture(10 * g["rows"][0, 0] + g["rows"][1, 0])}

    double = ("p:f", "r:f[1,1]", lambda g: {"r": row(2 * g["p"])})
    calls = (
        Call("a", "double", {"p": "a"}, {"r": View("rows", 0, 1)}, when=Changed(("a",))),
        Call("b", "double", {"p": "b"}, {"r": View("rows", 1, 1)}, when=Changed(("b",))),
        Call("draw", "draw", {"x": "video", "rows": "rows"}, {"y": "out"}),
    )
    toy = Toy(
        {"double": double, "draw": ("x:frame rows:f[2,1]", "y:frame", draw)},
        [Phase("play", "forever", calls, emit=Emit("out"))],
        slots={"rows": Slot("float", (2, 1))},
        params={"a": ("f", np.array([1], np.float32)), "b": ("f", np.array([2], np.float32))},
        alignment=alignment,
    )
    with toy.stream() as stream:
        assert shown(stream, 0) == [24]
        stream.set_params(b=3)
        assert shown(stream, 0, 0) == [26, 26]
        stream.set_params(a=4)
        assert shown(stream, 0) == [86]


@either
@pytest.mark.parametrize("late", ["thread", "inline"])
def test_a_late_call_reads_its_part_as_the_step_began(alignment: int, late: Any) -> None:
    """``now`` swaps the whole slot in the same step; the late call reads the old second row."""

    def now(g: dict) -> dict:
        return {"s2": g["s"] + float(g["x"].flat[0]), "y": picture(g["log"][0, 0])}

    note = ("r:f[1,1]", "log:f[1,1]", lambda g: {"log": g["r"].copy()})
    calls = (
        Call("now", "now", {"x": "video", "s": "sums", "log": "log"}, {"s2": "sums", "y": "out"}),
        Call("note", "note", {"r": View("sums", 1, 1)}, {"log": "log"}, late=True),
    )
    toy = Toy(
        {
            "now": ("x:frame s:f[2,1] log:f[1,1]", "s2:f[2,1] y:frame", now),
            "note": note,
        },
        [Phase("play", "forever", calls, emit=Emit("out"))],
        slots={"sums": Slot("float", (2, 1)), "log": Slot("float", (1, 1))},
        alignment=alignment,
    )
    with toy.stream(late=late) as stream:
        assert shown(stream, 1, 2, 3, 4) == [0, 0, 1, 3]

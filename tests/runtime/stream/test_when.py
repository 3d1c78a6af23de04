"""Schedules, and calls that run when params have changed."""

from __future__ import annotations

import numpy as np
import pytest
from support.machines import Toy, flat, picture, pixel, shown
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, Changed, Emit, Every, Phase, Slot, View


def constant(value: int) -> tuple:
    return ("x:frame", "y:frame", lambda g: {"y": picture(value + g["x"].flat[0])})


def test_schedules_choose_by_step_and_begin_again_with_the_phase() -> None:
    def call(name: str, when: Every) -> Call:
        return Call(name, name, {"x": "video"}, {"y": "out"}, when=when)

    play = (call("a", Every(4, (0, 3))), call("b", Every(4, (1,))), call("c", Every(4, (2,))))
    toy = Toy(
        {"a": constant(10), "b": constant(20), "c": constant(30)},
        [
            Phase("short", 3, play, emit=Emit("out")),
            Phase("play", "forever", play, emit=Emit("out")),
        ],
    )
    with toy.stream() as stream:
        assert shown(stream, *range(8)) == [10, 21, 32, 13, 24, 35, 16, 17]


def test_counters_that_graphs_read() -> None:
    """``step`` begins anew in each phase; ``frame_index`` counts frames, not steps, and never does."""

    def show(g: dict) -> dict:
        return {"y": np.array([g["s"][0], g["f"][0], 0], np.uint8).reshape(1, 1, 1, 3)}

    def one(name: str, port: str) -> Call:
        return Call("show", name, {"x": "video", "s": "step", "f": "frame_index"}, {port: "out"})

    toy = Toy(
        {
            "wide": ("x:frames3 s:i64 f:i64", "y:frame", show),
            "narrow": ("x:frame s:i64 f:i64", "y:frame", show),
        },
        [
            Phase("wide", 2, (one("wide", "y"),), gather=3, emit=Emit("out")),
            Phase("narrow", "forever", (one("narrow", "y"),), emit=Emit("out")),
        ],
    )
    seen = []
    with toy.stream() as stream:
        for index in range(9):
            seen += [tuple(int(v) for v in f.rgb8.flat[:2]) for f in stream.push(pixel(index))]
        assert seen == [(0, 0), (1, 3), (0, 6), (1, 7), (2, 8)]
        stream.enter("narrow")
        (frame,) = stream.push(pixel(0))
        assert tuple(frame.rgb8.flat[:2]) == (0, 9)


def encoder_toy(fails: list[bool]) -> Toy:
    """``text`` doubles the prompt into a derived slot, ``keys`` adds the scale; the frame adds to that."""

    def text(g: dict) -> dict:
        return {"c": flat(2 * g["p"])}

    def keys(g: dict) -> dict:
        return {"k": flat(g["c"] + g["s"])}

    def draw(g: dict) -> dict:
        return {"y": picture(g["x"].flat[0] + g["k"][0]), "ok": np.array([not fails[0]])}

    calls = (
        Call("text", "text", {"p": "prompt"}, {"c": "cond"}, when=Changed(("prompt",))),
        Call("keys", "keys", {"c": "cond", "s": "scale"}, {"k": "k"}, when=Changed(("prompt", "scale"))),
        Call("draw", "draw", {"x": "video", "k": "k"}, {"y": "out", "ok": None}, check=("ok",)),
    )
    return Toy(
        {
            "text": ("p:i32", "c:f", text),
            "keys": ("c:f s:f", "k:f", keys),
            "draw": ("x:frame k:f", "y:frame ok:b", draw),
        },
        [Phase("first", 1, calls, emit=Emit("out")), Phase("play", "forever", calls, emit=Emit("out"))],
        slots={"cond": Slot("float", (1,)), "k": Slot("float", (1,))},
        params={"prompt": ("i32", np.array([10], np.int32)), "scale": ("f", np.array([1], np.float32))},
    )


def test_changed_calls_run_in_each_phases_first_step_and_after_a_change() -> None:
    toy = encoder_toy([False])
    with toy.stream() as stream:
        assert shown(stream, 1, 1, 1) == [22, 22, 22]
        assert toy.calls == ["text", "keys", "draw", "text", "keys", "draw", "draw"]
        toy.calls.clear()
        stream.set_params(scale=3)
        assert shown(stream, 1, 1) == [24, 24]
        assert toy.calls == ["keys", "draw", "draw"]
        toy.calls.clear()
        stream.set_params(prompt=[20], scale=np.array([5]))
        assert shown(stream, 1, 1) == [46, 46]
        assert toy.calls == ["text", "keys", "draw", "draw"]


def test_a_change_stays_pending_while_its_step_fails() -> None:
    fails = [False]
    toy = encoder_toy(fails)
    with toy.stream() as stream:
        assert shown(stream, 0, 0) == [21, 21]
        stream.set_params(prompt=[30])
        before = stream.slots()
        fails[0] = True
        for _ in range(2):
            toy.calls.clear()
            with pytest.raises(StreamError, match="V2V-E3020"):
                stream.push(pixel(0))
            assert toy.calls == ["text", "keys", "draw"]
            assert stream.slots() == before
        fails[0] = False
        assert shown(stream, 0) == [61]
        toy.calls.clear()
        assert shown(stream, 0) == [61]
        assert toy.calls == ["draw"]


def test_what_is_pending_is_in_a_snapshot() -> None:
    toy = encoder_toy([False])
    with toy.stream() as stream, toy.stream() as other:
        shown(stream, 0, 0)
        stream.set_params(prompt=[40])
        snapshot = stream.snapshot()
        assert snapshot.pending == ("text", "keys")
        other.restore(snapshot)
        assert shown(other, 0) == [81]
        assert shown(stream, 0) == [81]


def test_a_derived_slot_written_in_part_keeps_the_rest() -> None:
    """Each row of the slot follows a param of its own; a change of one runs one call."""

    def row(g: dict) -> dict:
        return {"r": g["p"].reshape(1, 1) * 2}

    def draw(g: dict) -> dict:
        return {"y": picture(10 * g["rows"][0, 0] + g["rows"][1, 0])}

    toy = Toy(
        {"row": ("p:f", "r:f[1,1]", row), "draw": ("x:frame rows:f[2,1]", "y:frame", draw)},
        [
            Phase(
                "play",
                "forever",
                (
                    Call("a", "row", {"p": "a"}, {"r": View("rows", 0, 1)}, when=Changed(("a",))),
                    Call("b", "row", {"p": "b"}, {"r": View("rows", 1, 1)}, when=Changed(("b",))),
                    Call("draw", "draw", {"x": "video", "rows": "rows"}, {"y": "out"}),
                ),
                emit=Emit("out"),
            )
        ],
        slots={"rows": Slot("float", (2, 1))},
        params={"a": ("f", np.array([1], np.float32)), "b": ("f", np.array([2], np.float32))},
    )
    with toy.stream() as stream:
        assert shown(stream, 0, 0) == [24, 24]
        stream.set_params(b=3)
        assert shown(stream, 0) == [26]
        stream.set_params(a=4)
        assert shown(stream, 0, 0) == [86, 86]
        assert toy.calls == ["row", "row", "draw", "draw", "row", "draw", "row", "draw", "draw"]


BAD_PARAMS = {
    "V2V-E3010": {"promt": [1]},
    "V2V-E3011": {"prompt": [1, 2]},
    "V2V-E3012": {"prompt": [1.5]},
    "V2V-E3013": {"scale": [float("nan")]},
}


@pytest.mark.parametrize("code", BAD_PARAMS)
def test_params_are_taken_together_or_not_at_all(code: str) -> None:
    toy = encoder_toy([False])
    with toy.stream() as stream:
        shown(stream, 0, 0)
        good = {"scale": [9.0]} if "scale" not in BAD_PARAMS[code] else {"prompt": [7]}
        with pytest.raises(StreamError) as caught:
            stream.set_params({**good, **BAD_PARAMS[code]})
        assert caught.value.code == code
        toy.calls.clear()
        assert shown(stream, 0) == [21]
        assert toy.calls == ["draw"]


def test_an_unknown_param_is_told_its_neighbour() -> None:
    with encoder_toy([False]).stream() as stream, pytest.raises(StreamError, match="'prompt'"):
        stream.set_params(promt=[1])


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ([2**40], "V2V-E3012"),
        ([-(2**31) - 1], "V2V-E3012"),
        ([True], "V2V-E3012"),
        (["a"], "V2V-E3012"),
        ([[1]], "V2V-E3011"),
    ],
)
def test_integer_params_do_not_wrap_or_round(value: list, code: str) -> None:
    with encoder_toy([False]).stream() as stream:
        with pytest.raises(StreamError) as caught:
            stream.set_params(prompt=value)
        assert caught.value.code == code


def test_a_float_param_may_not_overflow_to_infinity() -> None:
    draw = ("x:frame p:f", "y:frame", lambda g: {"y": picture(g["p"][0])})
    call = Call("draw", "draw", {"x": "video", "p": "p"}, {"y": "out"})
    toy = Toy(
        {"draw": draw},
        [Phase("play", "forever", (call,), emit=Emit("out"))],
        params={"p": ("f", np.array([1], np.float32))},
        float="float16",
    )
    with toy.stream() as stream:
        with pytest.raises(StreamError, match="V2V-E3013") as caught:
            stream.set_params(p=[70000.0])
        assert "inf as float16" in str(caught.value)
        stream.set_params(p=7)
        assert shown(stream, 0) == [7]


def test_reset_keeps_params_unless_asked() -> None:
    with encoder_toy([False]).stream() as stream:
        stream.set_params(prompt=[50])
        stream.reset()
        assert shown(stream, 0) == [101]
        stream.reset(params=True)
        assert shown(stream, 0) == [21]

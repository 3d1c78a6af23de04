"""A warm-up that failed half way is not played on: what it overwrote in place is whole again, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support.machines import Toy, flat, picture, pixel, shown, values
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, Emit, Phase, Slot, View
from v2v_runtime.stream import Stream

BAD = 99
"""A warm-up on this frame fails in its second call, after the first one has written."""

SICK = 98
"""On this one both calls run, and the second says that its result is not finite."""

EARLY = 97
"""On this one a call fails that comes before them."""


def warm(row: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def run(g: dict[str, Any]) -> dict[str, Any]:
        x = g["x"].flat[0]
        if row == 1 and x == BAD:
            raise RuntimeError("lost")
        return {"sink": np.full((1, 1), x, np.float32), "ok": np.array([row == 0 or x != SICK])}

    return run


def look(g: dict[str, Any]) -> dict[str, Any]:
    if g["x"].flat[0] == EARLY:
        raise RuntimeError("lost")
    return {"y": g["x"]}


def toy() -> Toy:
    """``warm`` writes row after row of ``sinks`` in place; ``play`` shows their sum; ``idle`` reads none."""
    calls = tuple(
        Call(
            f"warm_{row}",
            f"warm_{row}",
            {"x": "video"},
            {"sink": View("sinks", row, 1), "ok": None},
            check=("ok",),
            in_place=("sink",),
        )
        for row in range(2)
    )
    show = Call("show", "show", {"x": "video"}, {"y": "out"})
    sum_ = Call("sum", "sum", {"sinks": "sinks"}, {"y": "out"})
    ports = "x:frame", "sink:f[1,1] ok:b"
    return Toy(
        {
            "warm_0": (*ports, warm(0)),
            "warm_1": (*ports, warm(1)),
            "show": ("x:frame", "y:frame", look),
            "sum": ("sinks:f[2,1]", "y:frame", lambda g: {"y": picture(flat(g["sinks"].sum()))}),
        },
        [
            Phase("idle", 1, (show,), emit=Emit("out")),
            Phase("warm", 1, (show, *calls), emit=Emit("out")),
            Phase("play", "forever", (sum_,), emit=Emit("out")),
        ],
        slots={"sinks": Slot("float", (2, 1))},
    )


@pytest.fixture
def stream() -> Iterator[Stream]:
    """Warmed up on 3, so that a frame shows 6, and about to warm up again."""
    with toy().stream() as made:
        assert shown(made, 1, 3, 4) == [1, 3, 6]
        made.enter("warm")
        yield made


def fail(stream: Stream, frame: int) -> None:
    with pytest.raises(StreamError):
        stream.push(pixel(frame))


@pytest.mark.parametrize("frame", [BAD, SICK], ids=["second call failed", "not finite"])
def test_what_reads_it_cannot_be_entered(stream: Stream, frame: int) -> None:
    fail(stream, frame)
    for _ in range(2):
        with pytest.raises(StreamError) as refused:
            stream.enter("play")
        assert refused.value.code == "V2V-E3032"
        assert "'play' reads sinks" in str(refused.value)
        assert "'warm'" in refused.value.fix
    assert stream.phase == "warm"


@pytest.mark.parametrize("again", [False, True], ids=["as it stands", "entered again"])
def test_another_try_makes_it_whole(stream: Stream, again: bool) -> None:
    fail(stream, BAD)
    if again:
        stream.enter("warm")
    assert shown(stream, 5, 1) == [5, 10]
    stream.enter("play")
    assert shown(stream, 1) == [10]


def test_a_phase_before_it_may_be_entered(stream: Stream) -> None:
    fail(stream, BAD)
    stream.enter("idle")
    assert shown(stream, 7) == [7]
    with pytest.raises(StreamError, match="V2V-E3032"):
        stream.enter("play")
    assert shown(stream, 5, 1) == [5, 10]


def test_a_failure_before_anything_was_overwritten_leaves_it_whole(stream: Stream) -> None:
    fail(stream, EARLY)
    stream.enter("play")
    assert shown(stream, 1) == [6]


def test_reset_forgets_it(stream: Stream) -> None:
    """What it held is gone with it, so a warm-up comes first; but none has failed."""
    fail(stream, BAD)
    stream.reset()
    with pytest.raises(StreamError, match="V2V-E3033"):
        stream.enter("play")
    assert shown(stream, 1, 4, 1) == [1, 4, 8]


def test_a_snapshot_knows(stream: Stream) -> None:
    whole = stream.snapshot()
    fail(stream, BAD)
    torn = stream.snapshot()
    with toy().stream() as other:
        other.restore(torn)
        with pytest.raises(StreamError, match="V2V-E3032"):
            other.enter("play")
        other.restore(whole)
        other.enter("play")
        assert values(other.push(pixel(1))) == [6]


def test_a_failed_step_of_the_phase_that_reads_is_no_obstacle() -> None:
    """What a step overwrites in place it does not depend on, and what its phase resets is whole."""
    ring = Slot("float", (1, 1))

    def step(g: dict[str, Any]) -> dict[str, Any]:
        bad = g["x"].flat[0] == BAD
        return {
            "entry": g["x"].reshape(1, 3)[:, :1].astype(np.float32),
            "y": g["x"],
            "ok": np.array([not bad]),
        }

    call = Call(
        "step",
        "step",
        {"x": "video", "past": "past"},
        {"entry": View("past", 0, 1), "y": "out", "ok": None},
        check=("ok",),
        in_place=("entry",),
    )
    play = Phase("play", "forever", (call,), resets=("past",), emit=Emit("out"))
    made = Toy(
        {
            "step": ("x:frame past:f[1,1]", "entry:f[1,1] y:frame ok:b", step),
            "show": ("x:frame", "y:frame", lambda g: {"y": g["x"]}),
        },
        [Phase("warm", 1, (Call("show", "show", {"x": "video"}, {"y": "out"}),), emit=Emit("out")), play],
        slots={"past": ring},
    )
    with made.stream() as stream:
        assert shown(stream, 1, 2) == [1, 2]
        for phase in ("play", "warm"):
            fail(stream, BAD)
            stream.enter(phase)
            assert shown(stream, 3, 4) == [3, 4]

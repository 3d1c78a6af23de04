"""A failed step leaves everything as it was, takes its frames with it, and the next frame works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.machines import Toy, flat, picture, pixel, shown
from v2v_runtime.backends.base import EngineSpec
from v2v_runtime.backends.callables import CallableBackend
from v2v_runtime.errors import BackendError, StreamError
from v2v_runtime.manifest.model import Call, Emit, Every, Phase, Ring, Rows, Slot, View

BAD = 99


def everything(fail: Callable[[dict], None]) -> Toy:
    """Every kind of slot is written by ``work``; ``last``, which runs after it, is where steps fail."""

    def work(g: dict) -> dict:
        x = float(g["x"][-1].flat[0])
        return {
            "sum": flat(g["whole"] + x),
            "top": np.full((1, 1), x, np.float32),
            "entry": np.full((1, 1), x, np.float32),
            "y": np.stack([picture(g["whole"][0] + x + g["ring"].sum())[0]] * 2),
        }

    def last(g: dict) -> dict:
        fail(g)
        return {"ok": np.array([g["x"][-1].flat[0] != BAD]), "keep": flat(g["k"] + 1)}

    phase = Phase(
        "play",
        "forever",
        (
            Call(
                "work",
                "work",
                {"x": "video", "whole": "whole", "ring": "ring"},
                {"sum": "whole", "top": View("pair", 0, 1), "entry": "ring", "y": "out"},
            ),
            Call(
                "last",
                "last",
                {"x": "video", "k": "kept"},
                {"ok": None, "keep": "kept"},
                check=("ok",),
            ),
        ),
        gather=2,
        emit=Emit("out"),
    )
    return Toy(
        {
            "work": ("x:frames2 whole:f ring:f[3,1]", "sum:f top:f[1,1] entry:f[1,1] y:frames2", work),
            "last": ("x:frames2 k:f", "ok:b keep:f", last),
        },
        [phase],
        slots={
            "whole": Slot("float", (1,)),
            "pair": Slot("float", (2, 1)),
            "ring": Slot("float", (3, 1), ring=Ring(3)),
            "kept": Slot("float", (1,)),
        },
        max_frames=2,
    )


class DeviceLostError(RuntimeError):
    """Any exception of a backend."""


def nothing(g: dict) -> None:
    """The flag alone says so."""


def raises(error: type[BaseException]) -> Callable[[dict], None]:
    def fail(g: dict) -> None:
        if g["x"][-1].flat[0] == BAD:
            raise error("lost")

    return fail


def state(stream: Any) -> tuple[Any, ...]:
    """All that a snapshot holds, comparable."""
    s = stream.snapshot()
    arrays = {name: value.tolist() for name, value in s.slots.items()}
    return (
        arrays,
        s.ring_counts,
        s.step,
        s.frame_index,
        s.waiting,
        s.accepted,
        s.staged.tolist(),
        s.handed_over,
    )


@pytest.mark.parametrize(
    ("fail", "raised", "code"),
    [
        (nothing, StreamError, "V2V-E3020"),
        (raises(BackendError), StreamError, "V2V-E3021"),
        (raises(DeviceLostError), StreamError, "V2V-E3021"),
        (raises(KeyboardInterrupt), KeyboardInterrupt, None),
    ],
    ids=["check", "backend error", "any exception", "Ctrl-C"],
)
def test_every_way_to_fail_leaves_all_as_it_was(
    fail: Callable[[dict], None], raised: type[BaseException], code: str | None
) -> None:
    with everything(fail).stream() as stream, everything(nothing).stream() as spared:
        for good in range(1, 8):
            before = state(stream)
            assert stream.push(pixel(50), "lost") == []
            with pytest.raises(raised) as caught:
                stream.push(pixel(BAD), "lost too")
            if code is not None:
                assert isinstance(caught.value, StreamError)
                assert caught.value.code == code
            assert state(stream) == before
            for value in (good, 10 * good):
                made = stream.push(pixel(value), value)
                expected = spared.push(pixel(value), value)
                assert [f.timestamp for f in made] == [f.timestamp for f in expected]
                assert [f.rgb8.tolist() for f in made] == [f.rgb8.tolist() for f in expected]
        assert state(stream) == state(spared)
        assert stream.counters.failed == 7


def test_default_timestamps_do_not_count_lost_frames() -> None:
    with everything(nothing).stream() as stream:
        shown(stream, 1, 2, 3)
        with pytest.raises(StreamError):
            stream.push(pixel(BAD))
        assert [f.timestamp for v in (4, 5) for f in stream.push(pixel(v))] == [2, 3]


def test_the_error_names_call_and_port() -> None:
    with everything(nothing).stream() as stream:
        stream.push(pixel(1))
        with pytest.raises(StreamError, match=r"last\.ok of phase 'play'"):
            stream.push(pixel(BAD))
    with everything(raises(DeviceLostError)).stream() as stream:
        stream.push(pixel(1))
        with pytest.raises(StreamError, match="call 'last' of phase 'play': lost"):
            stream.push(pixel(BAD))


def test_flags_of_other_steps_do_not_count() -> None:
    """``checked`` runs in odd steps; its false flag of step 1 is not read again in step 2."""
    good = [True]
    check = ("x:frame", "ok:b", lambda g: {"ok": np.array([good[0]])})
    show = ("x:frame", "y:frame", lambda g: {"y": g["x"].copy()})
    calls = (
        Call("show", "show", {"x": "video"}, {"y": "out"}),
        Call("checked", "check", {"x": "video"}, {"ok": None}, when=Every(2, (1,)), check=("ok",)),
    )
    toy = Toy({"check": check, "show": show}, [Phase("p", "forever", calls, emit=Emit("out"))])
    with toy.stream() as stream:
        shown(stream, 1)
        good[0] = False
        with pytest.raises(StreamError):
            stream.push(pixel(2))
        good[0] = True
        assert shown(stream, 2, 3) == [2, 3]
        good[0] = False
        with pytest.raises(StreamError):
            stream.push(pixel(4))
        syncs = stream.counters.host_syncs
        good[0] = True
        assert shown(stream, 4, 5) == [4, 5]
        assert stream.counters.host_syncs == syncs + 1


def test_an_engine_that_cannot_be_loaded_is_tried_again() -> None:
    """The second phase's engine fails to load twice; no frame is lost, no step is made up."""
    show = ("x:frame", "y:frame", lambda g: {"y": g["x"] + 1})
    one = (Call("one", "one", {"x": "video"}, {"y": "out"}),)
    two = (Call("two", "two", {"x": "video"}, {"y": "out"}),)
    toy = Toy(
        {"one": show, "two": show},
        [Phase("first", 1, one, emit=Emit("out")), Phase("play", "forever", two, emit=Emit("out"))],
        resident_phase=frozenset({"one", "two"}),
    )
    refusals = [2]

    class Reluctant(CallableBackend):
        def load(self, spec: EngineSpec) -> Any:
            if spec.graph == "two" and refusals[0]:
                refusals[0] -= 1
                raise BackendError("V2V-E4013", "no memory")
            return super().load(spec)

    toy.backend = Reluctant({name: graph[2] for name, graph in toy.graphs.items()})
    with toy.stream() as stream:
        assert shown(stream, 1) == [2]
        for _ in range(2):
            with pytest.raises(BackendError, match="V2V-E4013"):
                stream.push(pixel(2))
            assert stream.owed == 0
        assert stream.session.loaded() == set()
        assert [f.timestamp for f in stream.push(pixel(2))] == [1]
        assert toy.backend.loads == ["one", "two"]
        assert toy.backend.closes == ["one"]


def test_a_session_that_cannot_load_closes_what_it_has() -> None:
    show = ("x:frame", "y:frame", lambda g: {"y": g["x"] + 1})
    toy = Toy(
        {"one": show, "two": show},
        [
            Phase(
                "p",
                "forever",
                (
                    Call("one", "one", {"x": "video"}, {"y": "first"}),
                    Call("two", "two", {"x": "first"}, {"y": "out"}),
                ),
                emit=Emit("out"),
            )
        ],
    )
    backend = CallableBackend({"one": show[2]})
    toy.backend = backend
    with pytest.raises(BackendError, match="V2V-E4005"):
        toy.stream()
    assert (backend.loads, backend.closes) == (["one"], ["one"])


def test_rows_bound_to_a_slot_are_refused() -> None:
    """Rows past the bucket would be of another step: the machine refuses what the validator does."""
    work = ("x:frame", "r:f[4,1] n:i32 y:frame", lambda g: {})
    more = ("r:f[4,1]", "r2:f[4,1]", lambda g: {})
    calls = (
        Call("work", "work", {"x": "video"}, {"r": "rows", "n": "count", "y": "out"}),
        Call("more", "more", {"r": "rows"}, {"r2": "kept"}, rows=Rows("count", (2, 4), ("r", "r2"))),
    )
    toy = Toy(
        {"work": work, "more": more},
        [Phase("p", "forever", calls, emit=Emit("out"))],
        slots={"kept": Slot("float", (4, 1))},
        valid=False,
    )
    with pytest.raises(StreamError, match="V2V-E3070"):
        toy.stream()

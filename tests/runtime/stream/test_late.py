"""Late calls: what they read, when they commit, how they fail, on which thread they run."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from support.machines import Toy, flat, picture, pixel, shown
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, Emit, Every, Phase, Ring, Slot, View
from v2v_runtime.trace import Event

LATE = ("thread", "inline")


def refresh_toy(late: Callable[[dict], dict], when: Every | None = None) -> Toy:
    """``draw`` shows reference plus frame; ``refresh``, late, makes a new reference from the frame."""

    def draw(g: dict) -> dict:
        return {"y": picture(g["r"][0] + g["x"].flat[0]), "a": flat(g["x"].flat[0])}

    calls = (
        Call("draw", "draw", {"x": "video", "r": "ref"}, {"y": "out", "a": "a"}),
        Call("refresh", "refresh", {"a": "a"}, {"r": "ref", "ok": None}, when=when, late=True, check=("ok",)),
    )
    return Toy(
        {"draw": ("x:frame r:f", "y:frame a:f", draw), "refresh": ("a:f", "r:f ok:b", late)},
        [Phase("play", "forever", calls, emit=Emit("out"))],
        slots={"ref": Slot("float", (1,))},
    )


def fine(g: dict) -> dict:
    return {"r": g["a"] * 10, "ok": np.array([True])}


@pytest.mark.parametrize("late", LATE)
def test_a_late_write_is_read_by_the_next_step(late: str) -> None:
    with refresh_toy(fine).stream(late=late) as stream:
        assert shown(stream, 1, 2, 3) == [1, 12, 23]
        assert stream.slots()["ref"].tolist() == [30]


def test_the_frame_is_handed_over_before_the_late_call_ends() -> None:
    handed_over = threading.Event()

    def late(g: dict) -> dict:
        assert handed_over.wait(60), "collect waits for the late call"
        return fine(g)

    with refresh_toy(late).stream() as stream:
        assert shown(stream, 1) == [1]
        handed_over.set()
        assert shown(stream, 2) == [12]


def test_a_late_call_is_not_started_before_collect() -> None:
    toy = refresh_toy(fine)
    with toy.stream(late="inline") as stream:
        stream.submit(pixel(1))
        assert toy.calls == ["draw"]
        stream.collect()
        assert toy.calls == ["draw", "refresh"]


@pytest.mark.parametrize("late", LATE)
def test_late_calls_read_slots_as_they_were_when_the_step_began(late: str) -> None:
    """The sum is swapped, and the ring copied, by calls of the same step; the late call sees neither."""

    def add(g: dict) -> dict:
        return {
            "y": picture(g["log"][0]),
            "next": flat(g["a"] + g["x"].flat[0]),
            "new": np.full((1, 1), g["x"].flat[0], np.float32),
        }

    def note(g: dict) -> dict:
        entries = [int(v) for v in g["ring"][:, 0]]
        return {"log": flat(50 * g["n"][0] + 10 * g["s"][0] + g["a"][0] + sum(entries))}

    calls = (
        Call(
            "add",
            "add",
            {"x": "video", "a": "total", "log": "log"},
            {"y": "out", "next": "total", "new": "ring"},
        ),
        Call(
            "note",
            "note",
            {"ring": "ring", "a": "total", "s": "step", "n": "ring.count"},
            {"log": "log"},
            late=True,
        ),
    )
    toy = Toy(
        {
            "add": ("x:frame a:f log:f", "y:frame next:f new:f[1,1]", add),
            "note": ("ring:f[2,1] a:f s:i64 n:i64", "log:f", note),
        },
        [Phase("play", "forever", calls, emit=Emit("out"))],
        slots={
            "total": Slot("float", (1,)),
            "log": Slot("float", (1,)),
            "ring": Slot("float", (2, 1), ring=Ring(2)),
        },
    )
    with toy.stream(late=late) as stream:
        # Shown: what the late call of the step before noted: 50 count + 10 step + total + ring, then.
        assert shown(stream, 1, 2, 3, 4) == [0, 0, 50 + 10 + 1 + 1, 100 + 20 + 3 + 3]
        np.testing.assert_array_equal(stream.slots()["ring"][:, 0], [3, 4])


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("how", ["check", "exception"])
def test_a_late_failure_is_told_once_and_commits_nothing(late: str, how: str) -> None:
    def refresh(g: dict) -> dict:
        if g["a"][0] == 13:
            if how == "exception":
                raise ValueError("no")
            return {"r": flat(np.nan), "ok": np.array([False])}
        return fine(g)

    events: list[Event] = []
    with refresh_toy(refresh).stream(late=late, trace=events.append) as stream:
        assert shown(stream, 4, 13) == [4, 53]
        with pytest.raises(StreamError, match="V2V-E3024"):
            stream.push(pixel(1))
        assert stream.slots()["ref"].tolist() == [40]
        assert shown(stream, 1, 2) == [41, 12]
        failed = [event.as_dict()["failed"] for event in events if event.as_dict()["event"] == "late"]
        code = "V2V-E3020" if how == "check" else "V2V-E3021"
        assert failed == [None, code, None]
        assert stream.counters.failed == 1
        assert stream.counters.frames_in == 4


@pytest.mark.parametrize("late", LATE)
@pytest.mark.parametrize("forget", ["reset", "restore", "close"])
def test_a_late_failure_that_no_call_tells_of_is_a_warning(
    forget: str, late: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What they would have written is forgotten anyway: counted, traced and logged, but no error."""
    events: list[Event] = []
    toy = refresh_toy(lambda g: fine(g) if g["a"][0] != 13 else {**fine(g), "ok": np.array([False])})
    with toy.stream(late=late, trace=events.append) as stream:
        before = stream.snapshot()
        assert shown(stream, 4, 13) == [4, 53]
        getattr(stream, forget)(*([before] if forget == "restore" else []))
        assert stream.counters.failed == 1
        late_events = [e for e in (event.as_dict() for event in events) if e["event"] == "late"]
        assert [e["failed"] for e in late_events] == [None, "V2V-E3020"]
        (told,) = caplog.records
        assert (told.levelname, told.name) == ("WARNING", "v2v_runtime.machine")
        assert told.getMessage().startswith("[V2V-E3024] the late calls of phase 'play', step 1, failed: ")
        if forget != "close":
            assert shown(stream, 1, 2) == [1, 12]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("late", LATE)
def test_a_late_view_and_a_view_of_the_step_commit_apart(late: str) -> None:
    """They fill the slot together; the late one fails when the frame is 9, and its row stays."""

    def now(g: dict) -> dict:
        return {"y": picture(10 * g["s"][0, 0] + g["s"][1, 0]), "r": np.full((1, 1), g["x"].flat[0], "f4")}

    def then(g: dict) -> dict:
        return {"r": np.full((1, 1), g["x"].flat[0], "f4"), "ok": np.array([g["x"].flat[0] != 9])}

    calls = (
        Call("now", "now", {"x": "video", "s": "pair"}, {"y": "out", "r": View("pair", 0, 1)}),
        Call("then", "then", {"x": "video"}, {"r": View("pair", 1, 1), "ok": None}, late=True, check=("ok",)),
    )
    toy = Toy(
        {"now": ("x:frame s:f[2,1]", "y:frame r:f[1,1]", now), "then": ("x:frame", "r:f[1,1] ok:b", then)},
        [Phase("play", "forever", calls, emit=Emit("out"))],
        slots={"pair": Slot("float", (2, 1))},
    )
    with toy.stream(late=late) as stream:
        assert shown(stream, 1, 2, 9) == [0, 11, 22]
        with pytest.raises(StreamError, match="V2V-E3024"):
            stream.slots()
        np.testing.assert_array_equal(stream.slots()["pair"][:, 0], [9, 2])
        assert shown(stream, 3) == [92]


def test_the_frame_that_meets_a_late_failure_can_be_pushed_again() -> None:
    def refresh(g: dict) -> dict:
        return {"r": g["a"], "ok": np.array([g["a"][0] != 13])}

    with refresh_toy(refresh).stream() as stream:
        stream.push(pixel(13), "thirteen")
        with pytest.raises(StreamError, match="V2V-E3024"):
            stream.push(pixel(1), "one")
        assert [frame.timestamp for frame in stream.push(pixel(1), "one")] == ["one"]


@pytest.mark.parametrize("do", ["reset", "close"])
def test_reset_and_close_forget_a_late_failure(do: str) -> None:
    with refresh_toy(lambda g: {"r": g["a"], "ok": np.array([False])}).stream() as stream:
        stream.push(pixel(1))
        getattr(stream, do)()
        if do == "reset":
            assert shown(stream, 1) == [1]


def late_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "v2v-late"]


def test_the_thread_comes_with_the_first_late_call_and_goes_with_the_stream() -> None:
    before = len(late_threads())
    stream = refresh_toy(fine, Every(2, (1,))).stream()
    stream.push(pixel(1))
    assert len(late_threads()) == before
    stream.push(pixel(2))
    assert len(late_threads()) == before + 1
    stream.push(pixel(3))
    stream.push(pixel(4))
    assert len(late_threads()) == before + 1
    stream.close()
    assert len(late_threads()) == before


def test_a_stream_that_is_dropped_takes_its_thread_along() -> None:
    stream = refresh_toy(fine).stream()
    stream.push(pixel(1))
    stream.slots()
    (thread,) = late_threads()
    del stream
    thread.join(60)
    assert not thread.is_alive()


def test_inline_makes_no_thread() -> None:
    before = len(late_threads())
    with refresh_toy(fine).stream(late="inline") as stream:
        shown(stream, 1, 2)
        assert len(late_threads()) == before


def test_where_there_is_no_thread_the_late_calls_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame is out; what the late call would have written is as before; the next one gets its thread."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "v2v-late":
            raise RuntimeError("can't start new thread")
        start(thread)

    with refresh_toy(fine).stream() as stream:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        assert shown(stream, 1) == [1]
        monkeypatch.undo()
        with pytest.raises(StreamError, match=r"V2V-E3024[\s\S]*can't start new thread"):
            stream.push(pixel(2))
        assert shown(stream, 3, 4) == [3, 34]

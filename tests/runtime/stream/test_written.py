"""A phase that reads what an earlier phase makes is not entered before that phase has run to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from support.machines import Toy, flat, picture, pixel, shown, values
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, Changed, Emit, Every, Phase, Ring, Slot, View
from v2v_runtime.stream import Stream

GRAPHS = {
    "show": ("x:frame", "y:frame", lambda g: {"y": g["x"]}),
    "make": ("x:frame", "kept:f[1]", lambda g: {"kept": flat(g["x"])}),
    "sum": ("x:frame kept:f[2]", "y:frame", lambda g: {"y": picture(flat(g["kept"].sum() + g["x"].flat[0]))}),
}
SHOW = Call("show", "show", {"x": "video"}, {"y": "out"})
SUM = Call("sum", "sum", {"x": "video", "kept": "kept"}, {"y": "out"})
SUM_UNSEEN = Call("sum", "sum", {"x": "video", "kept": "kept"}, {"y": None})
PLAY = Phase("play", "forever", (SUM,), emit=Emit("out"))
KEPT = {"kept": Slot("float", (2,))}


def make(row: int, **more: Any) -> Call:
    """Writes the frame's value to one row of ``kept``."""
    return Call(f"make_{row}", "make", {"x": "video"}, {"kept": View("kept", row, 1)}, **more)


def toy(
    *warm: Call,
    steps: int = 1,
    idle: bool = False,
    play: Phase = PLAY,
    graphs: Mapping[str, Any] = GRAPHS,
    slots: Mapping[str, Slot] = KEPT,
) -> Toy:
    """``warm`` makes both rows of ``kept``, and ``play`` adds them to the frame."""
    first = [Phase("idle", 1, (SHOW,), emit=Emit("out"))] if idle else []
    warming = Phase("warm", steps, (SHOW, *(warm or (make(0), make(1)))), emit=Emit("out"))
    phases = [*first, warming, play]
    called = {call.graph for phase in phases for call in phase.calls}
    return Toy({name: graphs[name] for name in graphs if name in called}, phases, slots=slots)


def refuses(stream: Stream, phase: str = "play") -> StreamError:
    with pytest.raises(StreamError) as refused:
        stream.enter(phase)
    assert refused.value.code == "V2V-E3033"
    return refused.value


def test_a_new_stream_does_not_play_on_zeros() -> None:
    with toy().stream() as stream:
        error = refuses(stream)
        assert "phase 'play' reads kept, which phase 'warm' has not written" in str(error)
        assert "push the 1 frames of 'warm'" in error.fix
        assert "'play' follows by itself" in error.fix
        # Nothing has changed: the warm-up comes first, and after it the phase may be entered at any time.
        assert stream.phase == "warm"
        assert shown(stream, 3, 1) == [3, 7]
        stream.enter("play")
        assert shown(stream, 1) == [7]


def test_a_phase_before_the_one_that_makes_it_may_be_entered() -> None:
    with toy(idle=True).stream() as stream:
        refuses(stream)
        stream.enter("warm")
        stream.enter("idle")
        refuses(stream)
        assert shown(stream, 5, 3, 1) == [5, 3, 7]


def test_reset_makes_it_unwritten_again() -> None:
    with toy().stream() as stream:
        assert shown(stream, 3, 1) == [3, 7]
        stream.reset()
        refuses(stream)
        assert shown(stream, 2, 1) == [2, 5]


def test_a_run_that_has_not_come_to_its_end_makes_nothing() -> None:
    rows = make(0, when=Every(2, (0,))), make(1, when=Every(2, (1,)))
    with toy(*rows, steps=2).stream() as stream:
        shown(stream, 3)
        refuses(stream)
        assert shown(stream, 4, 0) == [4, 7]
        stream.enter("warm")
        # Until a frame is played the old rows stand whole; then one is new and one is old.
        stream.enter("play")
        stream.enter("warm")
        shown(stream, 9)
        assert "2 frames" in refuses(stream).fix
        assert shown(stream, 8, 0) == [8, 17]


def test_a_failed_step_makes_nothing() -> None:
    lost = ("x:frame", "kept:f[1]", lambda g: {"kept": flat(g["x"])} if g["x"].flat[0] < 9 else {}["lost"])
    with toy(graphs={**GRAPHS, "make": lost}).stream() as stream:
        with pytest.raises(StreamError, match="V2V-E3021"):
            stream.push(pixel(9))
        refuses(stream)
        assert shown(stream, 3, 1) == [3, 7]


def test_a_snapshot_knows() -> None:
    with toy().stream() as stream, toy().stream() as other:
        fresh = stream.snapshot()
        shown(stream, 3)
        warm = stream.snapshot()
        other.restore(warm)
        other.enter("play")
        assert values(other.push(pixel(1))) == [7]
        other.restore(fresh)
        refuses(other)


def test_slots_that_were_given_are_written() -> None:
    with toy().stream() as stream:
        stream.set_slots({"kept": np.array([4, 5], np.float32)})
        stream.enter("play")
        assert shown(stream, 1) == [10]


def test_a_phase_that_resets_it_takes_it_away() -> None:
    """``clear`` sets it back without reading it: what it held before is gone."""
    clear = Phase("clear", 1, (SHOW,), resets=("kept",), emit=Emit("out"))
    warm = Phase("warm", 1, (SHOW, make(0), make(1)), emit=Emit("out"))
    made = Toy(GRAPHS, [clear, warm, PLAY], slots=KEPT)
    with made.stream() as stream:
        assert shown(stream, 1, 3, 1) == [1, 3, 7]
        stream.enter("clear")
        refuses(stream)
        assert shown(stream, 1, 4, 1) == [1, 4, 9]


class TestWhatHasAStartingValue:
    """The init is read in the program's own order, so a phase that is entered may read it too."""

    def test_what_the_first_phase_reads_itself(self) -> None:
        read = toy(SUM_UNSEEN, make(0), make(1))
        with read.stream() as stream:
            stream.enter("play")
            assert shown(stream, 1) == [1]

    def test_what_the_phase_resets(self) -> None:
        play = Phase("play", "forever", (SUM, make(0), make(1)), resets=("kept",), emit=Emit("out"))
        with toy(play=play).stream() as stream:
            stream.enter("play")
            assert shown(stream, 1, 1) == [1, 3]

    def test_what_is_written_in_part(self) -> None:
        with toy(make(0)).stream() as stream:
            stream.enter("play")
            assert shown(stream, 1) == [1]

    def test_what_a_late_call_writes(self) -> None:
        """It may fail while the stream goes on."""
        rows = make(0, late=True), make(1, late=True)
        with toy(*rows).stream() as stream:
            stream.enter("play")
            assert shown(stream, 1) == [1]

    def test_what_the_phase_writes_before_it_reads(self) -> None:
        """Its own step 0 makes both rows, and step 1 is the first to read them."""
        calls = (
            Call("show", "show", {"x": "video"}, {"y": "out"}),
            make(0, when=Every(2, (0,))),
            make(1, when=Every(2, (0,))),
            Call("peek", "peek", {"kept": "kept"}, {"seen": "seen"}, when=Every(2, (1,))),
        )
        peek = ("kept:f[2]", "seen:f[1]", lambda g: {"seen": flat(g["kept"].sum())})
        play = Phase("play", "forever", calls, emit=Emit("out"))
        slots = {**KEPT, "seen": Slot("float", (1,))}
        with toy(play=play, graphs={**GRAPHS, "peek": peek}, slots=slots).stream() as stream:
            stream.enter("play")
            assert shown(stream, 2, 7) == [2, 7]
            assert stream.slots()["seen"] == [4]

    def test_a_ring(self) -> None:
        """An empty one says so by its count."""
        append = Call("make", "make", {"x": "video"}, {"kept": "kept"})
        with toy(append, slots={"kept": Slot("float", (2,), ring=Ring(2))}).stream() as stream:
            stream.enter("play")
            assert shown(stream, 1) == [1]

    def test_a_derived_slot(self) -> None:
        """Each phase writes it before it reads it."""
        derive = Call("derive", "derive", {"p": "p"}, {"kept": "kept"}, when=Changed(("p",)))
        repeat = ("p:f", "kept:f[2]", lambda g: {"kept": np.repeat(g["p"], 2)})
        graphs = {"show": GRAPHS["show"], "sum": GRAPHS["sum"], "derive": repeat}
        phases = [
            Phase("warm", 1, (derive, SHOW), emit=Emit("out")),
            Phase("play", "forever", (derive, SUM), emit=Emit("out")),
        ]
        with Toy(graphs, phases, slots=KEPT, params={"p": ("f", np.ones(1, np.float32))}).stream() as stream:
            stream.enter("play")
            assert shown(stream, 1) == [3]

"""``enter``: a phase begins again, with the frames that are staged and those that it is always owed."""

from __future__ import annotations

import numpy as np
import pytest
from support.frame_toys import call, chunks, delayed, show
from support.machines import Toy, pixel, shown, values
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, Emit, Phase, Slot


def test_enter_forgets_what_is_inside_the_pipeline() -> None:
    with delayed(2).stream() as stream:
        assert shown(stream, 1, 2, 3) == [1]
        stream.enter("play")
        assert stream.owed == 0
        out = [f for v in (4, 5, 6, 7) for f in stream.push(pixel(v), f"t{v}")]
        assert [(int(f.rgb8.flat[0]), f.timestamp) for f in out] == [(4, "t4"), (5, "t5")]


def test_enter_keeps_what_the_phase_is_always_owed() -> None:
    """The two frames that ``lead`` swallows are owed whenever ``play`` begins; a third is forgotten."""
    keep = (
        "x:frame line:frames2",
        "next:frames2",
        lambda g: {"next": np.concatenate([g["x"], g["line"][:-1]])},
    )
    shift = (
        "x:frame line:frames2",
        "y:frame next:frames2",
        lambda g: {"y": g["line"][-1:], "next": np.concatenate([g["x"], g["line"][:-1]])},
    )
    reads = {"x": "video", "line": "line"}
    toy = Toy(
        {"keep": keep, "shift": shift},
        [
            Phase("lead", 2, (Call("keep", "keep", reads, {"next": "line"}),)),
            Phase(
                "play",
                "forever",
                (Call("shift", "shift", reads, {"y": "out", "next": "line"}),),
                emit=Emit("out"),
            ),
        ],
        slots={"line": Slot("uint8", (2, 1, 1, 3))},
    )
    with toy.stream() as stream:
        assert shown(stream, 1, 2, 3, 4) == [1, 2]
        assert stream.owed == 2
        stream.enter("play")
        assert stream.owed == 2
        assert [f.timestamp for f in stream.push(pixel(5))] == [2]
        stream.enter("lead")
        assert stream.owed == 0
        assert [f.timestamp for v in (6, 7, 8) for f in stream.push(pixel(v), v)] == [6]


def test_enter_carries_staged_frames_over() -> None:
    with chunks().stream() as stream:
        shown(stream, *range(8))
        assert stream.phase == "lead"
        shown(stream, 8, 9)
        assert stream.phase == "play"
        stream.enter("lead")
        assert stream.owed == 2
        stream.push(pixel(10))
        with pytest.raises(StreamError, match="V2V-E3031"):
            stream.enter("play")
        out = [f for v in range(11, 16) for f in stream.push(pixel(v))]
        # Frames 8 9 10 11 and 12 13 14 15 are the two steps; the first three of 9 10 13 14 are dropped.
        assert [(int(f.rgb8.flat[0]), f.timestamp) for f in out] == [(14, 8)]


def test_enter_carries_staged_frames_into_a_larger_gather() -> None:
    toy = Toy(
        {"four": show(4, 4), "three": show(3, 3)},
        [
            Phase("lead", 1, (call("four"),), gather=4, emit=Emit("out")),
            Phase("play", "forever", (call("three"),), gather=3, emit=Emit("out")),
        ],
        max_frames=4,
    )
    with toy.stream() as stream:
        assert shown(stream, 0, 1, 2, 3) == [1, 2, 3, 4]
        assert shown(stream, 10, 11) == []
        stream.enter("lead")
        assert [f.timestamp for f in stream.push(pixel(12))] == []
        out = stream.push(pixel(13))
        assert values(out) == [11, 12, 13, 14]
        assert [f.timestamp for f in out] == [4, 5, 6, 7]


def test_enter_names_the_phases() -> None:
    with chunks().stream() as stream, pytest.raises(StreamError, match="lead, play"):
        stream.enter("pley")

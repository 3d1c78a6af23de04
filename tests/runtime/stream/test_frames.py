"""Frames in and out: what is refused, gathers, drops, timestamps, flush, enter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.machines import Toy, flat, picture, pixel, shown, values
from v2v_runtime.errors import StreamError
from v2v_runtime.frames import checked_frame, checked_out
from v2v_runtime.manifest.model import Call, Emit, FrameSpec, Phase, Slot

SIZE = FrameSpec(4, 6)


def show(wide: int, made: int = 1) -> tuple:
    """Shows the first ``made`` of ``wide`` frames, each with 1 added."""
    many = f"frames{wide}"
    return (f"x:{many}", f"y:frames{made}", lambda g: {"y": g["x"][:made] + 1})


def call(graph: str) -> Call:
    return Call(graph, graph, {"x": "video"}, {"y": "out"})


def one_to_one() -> Toy:
    return Toy({"one": show(1)}, [Phase("play", "forever", (call("one"),), emit=Emit("out"))])


def delayed(steps: int) -> Toy:
    """A pipeline of ``steps`` frames: what comes out was pushed ``steps`` pushes before."""

    def shift(g: dict) -> dict:
        return {"y": g["line"][-1:], "next": np.concatenate([g["x"], g["line"][:-1]])}

    shifted = Call("shift", "shift", {"x": "video", "line": "line"}, {"y": "out", "next": "line"})
    return Toy(
        {"shift": (f"x:frame line:frames{steps}", f"y:frame next:frames{steps}", shift)},
        [Phase("play", "forever", (shifted,), emit=Emit("out", drop_first=steps))],
        slots={"line": Slot("uint8", (steps, 1, 1, 3))},
    )


def chunks() -> Toy:
    """Two steps of 4 frames that hand over 2 each, the first three of which are dropped; then 3 of 3."""
    return Toy(
        {"four": show(4, 2), "three": show(3, 3)},
        [
            Phase("lead", 2, (call("four"),), gather=4, emit=Emit("out", drop_first=3)),
            Phase("play", "forever", (call("three"),), gather=3, emit=Emit("out")),
        ],
        max_frames=3,
    )


class Refused:
    """Frames of [4, 6, 3] that are none, by code."""

    E3001 = (
        [[1]],
        None,
        np.zeros((4, 6, 3), np.int8),
        np.zeros((4, 6, 3), np.float32),
        np.zeros((4, 6, 3), bool),
    )
    E3002 = (
        np.zeros((4, 6), np.uint8),
        np.zeros((4, 6, 4), np.uint8),
        np.zeros((6, 4, 3), np.uint8),
        np.zeros((1, 4, 6, 3), np.uint8),
        np.zeros((0, 6, 3), np.uint8),
    )
    E3003 = (
        np.zeros((4, 6, 3), np.uint8)[..., ::-1],
        np.zeros((4, 6, 3), np.uint8)[::-1],
        np.zeros((4, 6, 3), np.uint8)[:, ::-1],
        np.zeros((3, 4, 6), np.uint8).transpose(1, 2, 0),
        np.zeros((6, 4, 3), np.uint8).transpose(1, 0, 2),
        np.zeros((4, 6, 4), np.uint8)[..., :3],
        np.zeros((4, 12, 3), np.uint8)[:, ::2],
        np.broadcast_to(np.zeros((1, 6, 3), np.uint8), (4, 6, 3)),
    )


CASES = [(code, frame) for code in ("E3001", "E3002", "E3003") for frame in getattr(Refused, code)]


@pytest.mark.parametrize(("code", "frame"), CASES)
def test_frames_that_are_refused(code: str, frame: Any) -> None:
    with pytest.raises(StreamError) as caught:
        checked_frame(frame, SIZE)
    assert caught.value.code == f"V2V-{code}"


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 6, 3), np.uint8),
        np.zeros((8, 6, 3), np.uint8)[::2],
        np.zeros((4, 9, 3), np.uint8)[:, 2:8],
        np.frombuffer(bytes(72), np.uint8).reshape(4, 6, 3),
    ],
    ids=["packed", "every second row", "a crop", "read-only"],
)
def test_frames_that_are_taken(frame: Any) -> None:
    assert checked_frame(frame, SIZE) is frame


def test_a_padded_frame_arrives_whole() -> None:
    seen = []

    def look(g: dict) -> dict:
        seen.append(g["x"].copy())
        return {"y": g["x"].copy()}

    toy = Toy(
        {"look": ("x:frame", "y:frame", look)}, [Phase("p", "forever", (call("look"),), emit=Emit("out"))]
    )
    with toy.stream() as stream:
        wide = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
        (made,) = stream.push(wide[1:2, 1:2])
    np.testing.assert_array_equal(seen[0], wide[None, 1:2, 1:2])
    np.testing.assert_array_equal(made.rgb8, wide[1:2, 1:2])


def test_the_stream_keeps_its_own_copy_of_a_frame() -> None:
    with delayed(2).stream() as stream:
        frame = pixel(7)
        stream.push(frame)
        frame[:] = 0
        assert shown(stream, 1, 2) == [7]


def test_a_refused_frame_is_not_staged() -> None:
    with chunks().stream() as stream:
        shown(stream, 0, 1, 2)
        for bad in (np.zeros((1, 1, 4), np.uint8), np.zeros((1, 1, 3), np.float32)):
            with pytest.raises(StreamError):
                stream.push(bad)
        assert stream.owed == 3
        assert shown(stream, 3) == []
        assert shown(stream, 4, 5, 6, 7) == [6]
        assert stream.counters.frames_in == 8


def test_a_push_gives_nothing_one_or_many() -> None:
    """Frames made: 1 2 | 5 6 of which three are dropped; then 9 10 11 and so on."""
    with chunks().stream() as stream:
        got = [[(v, f.timestamp) for f in stream.push(pixel(i)) for v in values([f])] for i in range(14)]
    expected: list[list[tuple[int, int]]] = [[] for _ in range(14)]
    # One queue of timestamps for the whole stream: the oldest that waits is the next to be used.
    expected[7] = [(6, 0)]
    expected[10] = [(9, 1), (10, 2), (11, 3)]
    expected[13] = [(12, 4), (13, 5), (14, 6)]
    assert got == expected


def test_a_phase_without_emit_hands_nothing_over() -> None:
    keep = ("x:frame s:f", "n:f", lambda g: {"n": flat(g["s"] + g["x"].flat[0])})
    play = ("x:frame s:f", "y:frame", lambda g: {"y": picture(g["s"][0] + g["x"].flat[0])})
    toy = Toy(
        {"keep": keep, "play": play},
        [
            Phase("fill", 2, (Call("keep", "keep", {"x": "video", "s": "s"}, {"n": "s"}),)),
            Phase(
                "play",
                "forever",
                (Call("play", "play", {"x": "video", "s": "s"}, {"y": "out"}),),
                emit=Emit("out"),
            ),
        ],
        slots={"s": Slot("float", (1,))},
    )
    with toy.stream() as stream:
        assert shown(stream, 1, 2, 3, 4) == [6, 7]
        assert stream.owed == 2


def test_timestamps_are_anything_and_default_to_the_frame_number() -> None:
    marker = object()
    with one_to_one().stream() as stream:
        stamps = [stream.push(pixel(0), t)[0].timestamp for t in (None, 2.5, "x", marker, None)]
        assert stamps == [0, 2.5, "x", marker, 4]
        stream.reset()
        assert stream.push(pixel(0))[0].timestamp == 0


def test_outputs_are_numbered_from_the_last_reset() -> None:
    with delayed(1).stream() as stream:
        assert [f.index for v in range(4) for f in stream.push(pixel(v))] == [0, 1, 2]
        stream.reset()
        assert [f.index for v in range(2) for f in stream.push(pixel(v))] == [0]


def test_new_arrays_are_the_callers_to_keep() -> None:
    with one_to_one().stream() as stream:
        kept = [stream.push(pixel(v))[0].rgb8 for v in (1, 2, 3)]
        assert [int(k.flat[0]) for k in kept] == [2, 3, 4]


def test_out_takes_the_frames() -> None:
    with one_to_one().stream() as stream:
        for out in (np.zeros((1, 1, 3), np.uint8), np.zeros((5, 1, 1, 3), np.uint8)):
            (frame,) = stream.push(pixel(4), out=out)
            assert np.shares_memory(frame.rgb8, out)
            assert frame.rgb8.shape == (1, 1, 3)
            assert int(out.flat[0]) == 5


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((2, 4, 6, 3), np.uint8),
        np.zeros((4, 6, 3), np.uint8),
        np.zeros((3, 4, 6, 3), np.int8),
        np.zeros((3, 6, 4, 3), np.uint8),
        np.zeros((6, 4, 6, 3), np.uint8)[::2],
        np.frombuffer(bytes(216), np.uint8).reshape(3, 4, 6, 3),
        [1],
    ],
    ids=["too few", "one", "type", "size", "strided", "read-only", "list"],
)
def test_out_that_does_not_fit(out: Any) -> None:
    with pytest.raises(StreamError, match="V2V-E3008"):
        checked_out(out, SIZE, most=3)


def test_out_that_does_not_fit_costs_no_frame() -> None:
    with one_to_one().stream() as stream:
        with pytest.raises(StreamError, match="V2V-E3008"):
            stream.push(pixel(1), out=np.zeros((2, 2, 3), np.uint8))
        stream.submit(pixel(2))
        with pytest.raises(StreamError, match="V2V-E3008"):
            stream.collect(np.zeros((2, 2, 3), np.uint8))
        assert values(stream.collect()) == [3]


def test_flush_brings_out_exactly_what_is_owed() -> None:
    with delayed(3).stream() as stream:
        assert shown(stream, 1, 2, 3, 4, 5) == [1, 2]
        assert stream.owed == 3
        out = stream.flush()
        assert values(out) == [3, 4, 5]
        assert [f.timestamp for f in out] == [2, 3, 4]
        assert [f.index for f in out] == [2, 3, 4]
        assert stream.flush() == []
        with pytest.raises(StreamError, match="V2V-E3006"):
            stream.push(pixel(1))
        with pytest.raises(StreamError, match="V2V-E3006"):
            stream.enter("play")
        stream.reset()
        assert shown(stream, 1, 2, 3, 4) == [1]


@pytest.mark.parametrize("count", range(15))
def test_flush_completes_a_gather_and_drops_the_surplus(count: int) -> None:
    """Whatever was pushed, as many frames come out as went in, in order, by their timestamps."""
    with chunks().stream() as stream:
        out = [f for v in range(count) for f in stream.push(pixel(v))] + stream.flush()
        assert [f.timestamp for f in out] == list(range(count))
        assert stream.owed == 0


def test_flush_before_the_first_frame_ends_the_stream() -> None:
    with one_to_one().stream() as stream:
        assert stream.flush() == []
        with pytest.raises(StreamError, match="V2V-E3006"):
            stream.push(pixel(1))


def failing_pipeline(fails: list[int]) -> Toy:
    """Like ``delayed(3)``, but the n-th step from now fails for each n in ``fails``."""
    done = [0]

    def shift(g: dict) -> dict:
        done[0] += 1
        return {
            "y": g["line"][-1:],
            "next": np.concatenate([g["x"], g["line"][:-1]]),
            "ok": np.array([done[0] not in fails]),
        }

    shifted = Call(
        "shift",
        "shift",
        {"x": "video", "line": "line"},
        {"y": "out", "next": "line", "ok": None},
        check=("ok",),
    )
    return Toy(
        {"shift": ("x:frame line:frames3", "y:frame next:frames3 ok:b", shift)},
        [Phase("play", "forever", (shifted,), emit=Emit("out", drop_first=3))],
        slots={"line": Slot("uint8", (3, 1, 1, 3))},
    )


def test_a_flush_that_fails_goes_on_where_it_was() -> None:
    with failing_pipeline([7]).stream() as stream:
        assert shown(stream, 1, 2, 3, 4, 5) == [1, 2]
        with pytest.raises(StreamError, match="V2V-E3020"):
            stream.flush()
        for refused in (stream.slots, stream.snapshot, lambda: stream.push(pixel(0))):
            with pytest.raises(StreamError, match="V2V-E3007"):
                refused()
        assert values(stream.flush()) == [3, 4, 5]


def test_flush_repeats_the_last_good_frame() -> None:
    """The last push failed: its frame is not what is repeated."""
    with failing_pipeline([5]).stream() as stream:
        assert shown(stream, 1, 2, 3, 4) == [1]
        with pytest.raises(StreamError, match="V2V-E3020"):
            stream.push(pixel(99))
        assert values(stream.flush()) == [2, 3, 4]
        assert stream.snapshot().last is not None
        np.testing.assert_array_equal(stream.slots()["line"][:, 0, 0, 0], [4, 4, 4])


def test_a_program_that_never_pays_ends_with_an_error() -> None:
    """No valid manifest can do so; the machine does not loop for ever all the same."""
    keep = ("x:frame", "y:frame", lambda g: {"y": g["x"].copy()})
    toy = Toy({"keep": keep}, [Phase("p", "forever", (call("keep"),))], valid=False)
    with toy.stream() as stream:
        shown(stream, 1, 2)
        with pytest.raises(StreamError, match="V2V-E3025"):
            stream.flush()
        assert stream.owed == 0
        with pytest.raises(StreamError, match="V2V-E3006"):
            stream.push(pixel(1))


def test_a_program_that_hands_over_too_much_fails_its_step() -> None:
    double = ("x:frame", "y:frames2", lambda g: {"y": np.concatenate([g["x"], g["x"]])})
    phase = Phase("p", "forever", (call("double"),), emit=Emit("out"))
    toy = Toy({"double": double}, [phase], max_frames=2, valid=False)
    with toy.stream() as stream:
        with pytest.raises(StreamError, match="V2V-E3023"):
            stream.push(pixel(1))
        assert stream.owed == 0


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


def test_a_restored_stream_repeats_the_right_frame() -> None:
    """What comes out is the frame before plus the frame just pushed: a flush shows which one it repeats."""

    def add(g: dict) -> dict:
        return {"y": g["line"] + g["x"], "next": g["x"].copy()}

    added = Call("add", "add", {"x": "video", "line": "line"}, {"y": "out", "next": "line"})
    toy = Toy(
        {"add": ("x:frame line:frame", "y:frame next:frame", add)},
        [Phase("play", "forever", (added,), emit=Emit("out", drop_first=1))],
        slots={"line": Slot("uint8", (1, 1, 1, 3))},
    )
    with toy.stream() as stream, toy.stream() as other:
        assert shown(stream, 1, 2, 30) == [3, 32]
        snapshot = stream.snapshot()
        shown(other, 90, 91)
        other.restore(snapshot)
        assert values(other.flush()) == [60]
        stream.reset()
        stream.restore(snapshot)
        assert values(stream.flush()) == [60]


def test_enter_names_the_phases() -> None:
    with chunks().stream() as stream, pytest.raises(StreamError, match="lead, play"):
        stream.enter("pley")

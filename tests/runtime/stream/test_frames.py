"""Frames in and out: what is refused, gathers, drops, timestamps, ``out``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.frame_toys import call, chunks, delayed, one_to_one
from support.machines import Toy, flat, picture, pixel, shown, values
from v2v_runtime.errors import StreamError
from v2v_runtime.frames import checked_frame, checked_out
from v2v_runtime.manifest.model import Call, Emit, FrameSpec, Phase, Slot

SIZE = FrameSpec(4, 6)


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


def test_a_program_that_hands_over_too_much_fails_its_step() -> None:
    double = ("x:frame", "y:frames2", lambda g: {"y": np.concatenate([g["x"], g["x"]])})
    phase = Phase("p", "forever", (call("double"),), emit=Emit("out"))
    toy = Toy({"double": double}, [phase], max_frames=2, valid=False)
    with toy.stream() as stream:
        with pytest.raises(StreamError, match="V2V-E3023"):
            stream.push(pixel(1))
        assert stream.owed == 0

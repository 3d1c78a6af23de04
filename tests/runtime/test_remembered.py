"""Which phases keep what a param was: found in the program, told by the players."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, cast

import numpy as np
import pytest
from support.machines import Toy, picture
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import Call, Changed, Emit, Phase, Slot
from v2v_runtime.param_changes import Changes
from v2v_runtime.remembered import frames_until, remembering


def warmed(*, follows: bool = False) -> Toy:
    """Two frames of warm-up make ``sink`` of ``style``, by way of ``words``, and show it; then each frame
    shows sink + words. ``gain`` is read by the stream alone.

    Args:
        follows: the stream makes the sink anew too, when the style changes.
    """
    changed = Changed(("style",))
    words = Call("tell", "tell", {"style": "style"}, {"words": "words"}, when=changed)
    sink = Call("warm", "warm", {"words": "words"}, {"sink": "sink"}, when=changed if follows else None)
    reads = {"x": "video", "sink": "sink", "words": "words", "gain": "gain"}
    show = Call("show", "show", reads, {"y": "out"})
    first = Call("first", "first", {"x": "video"}, {"y": "out"})

    def shown(g: Any) -> Any:
        return {"y": picture(g["gain"][0] * (10 * g["sink"][0] + g["words"][0]))}

    return Toy(
        {
            "tell": ("style:i64", "words:i64", lambda g: {"words": g["style"]}),
            "warm": ("words:i64", "sink:i64", lambda g: {"sink": g["words"]}),
            "first": ("x:frames2", "y:frames2", lambda g: {"y": g["x"]}),
            "show": ("x:frame sink:i64 words:i64 gain:i64", "y:frame", shown),
        },
        [
            Phase("warmup", 1, (words, sink, first), gather=2, emit=Emit("out")),
            Phase("stream", "forever", (words, *((sink,) if follows else ()), show), emit=Emit("out")),
        ],
        slots={"words": Slot("int64", (1,)), "sink": Slot("int64", (1,))},
        params={"style": ("i64", np.array([1])), "gain": ("i64", np.array([1]))},
        max_frames=2,
    )


def notes(made: Toy, words: Sequence[str]) -> list[str]:
    found: list[str] = []
    Changes(words, cast(Bundle, made.bundle), note=found.append)
    return found


def played(made: Toy, words: Sequence[str], frames: int = 7) -> list[int]:
    """What the frames after the first warm-up show."""
    changes = Changes(words, cast(Bundle, made.bundle))
    seen = []
    with made.stream() as stream:
        for index in range(frames):
            changes.apply(stream, index, Fraction(index, 25))
            seen += [int(frame.rgb8[0, 0, 0]) for frame in stream.push(np.zeros((1, 1, 3), np.uint8))]
    return seen[2:]


def test_a_warm_up_keeps_what_the_stream_reads_and_does_not_write() -> None:
    program = warmed().bundle.manifest.program
    warmup = program.phases[0]
    assert remembering(program, {"style"}) == (warmup,)
    assert remembering(program, {"gain"}) == ()
    assert remembering(program, {"gain", "style"}) == (warmup,)
    assert frames_until(program, warmup) == 2


def test_what_the_stream_makes_anew_is_not_kept() -> None:
    assert remembering(warmed(follows=True).bundle.manifest.program, {"style"}) == ()


def test_the_note_says_what_a_stream_does() -> None:
    """The judge is the stream: the tens are the sink's, and stay until the warm-up is played again."""
    assert played(warmed(), ["4:style=2"]) == [11, 11, 12, 12, 12]
    assert played(warmed(), ["4:style=2", "4:enter=warmup"]) == [11, 11, 0, 0, 22]
    # Its step is played with its second frame.
    assert played(warmed(), ["5:style=2", "4:enter=warmup"]) == [11, 11, 0, 0, 22]
    assert played(warmed(), ["4:style=2", "2:enter=warmup"]) == [0, 0, 12, 12, 12]
    assert played(warmed(), ["1:style=2"]) == [22, 22, 22, 22, 22]
    (note,) = notes(warmed(), ["4:style=2"])
    assert note == (
        "--at 4:style=2: what phase warmup left goes on under the value before, until the phase is entered "
        "again, as by --at 4:enter=warmup"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["4:style=2", "4:enter=warmup"],
        ["4:style=2", "6:enter=warmup"],
        ["5:style=2", "4:enter=warmup"],
        ["0.2s:style=2", "0.2s:enter=warmup"],
        ["4:style=2", "1s:enter=warmup"],
        ["1:style=2"],
        ["0s:style=2"],
        ["4:gain=2"],
        ["4:enter=warmup"],
    ],
)
def test_nothing_is_told_where_nothing_is_kept(words: list[str]) -> None:
    assert notes(warmed(), words) == []
    assert notes(warmed(follows=True), ["4:style=2"]) == []


@pytest.mark.parametrize(
    "words", [["4:style=2", "2:enter=warmup"], ["0.2s:style=2", "0.1s:enter=warmup"], ["2:style=2"]]
)
def test_a_phase_that_was_entered_before_keeps_it(words: list[str]) -> None:
    (note,) = notes(warmed(), words)
    assert note.startswith(f"--at {words[0]}: what phase warmup left goes on")

"""``flush``: what is owed comes out, whatever was staged or failed; then the stream has ended."""

from __future__ import annotations

import numpy as np
import pytest
from support.frame_toys import call, chunks, delayed, one_to_one
from support.machines import Toy, pixel, shown, values
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, Emit, Phase, Slot


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

"""Row buckets, and steps that the program cuts short."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from support.machines import Toy, flat, picture, pixel, shown
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, CallOverride, Changed, Emit, Phase, Rows, Skip, Slot, View
from v2v_runtime.trace import Event


def rows_toy(at_zero: Literal["run", "skip"], late: bool = False, **more: Any) -> Toy:
    """The frame's value is the count. ``work`` adds 1 to its rows; ``gather`` sums the first ``count``."""

    def plan(g: dict) -> dict:
        count = int(g["x"].flat[0]) - 100
        return {"n": np.array([count], np.int32), "rows": np.arange(8, dtype=np.float32).reshape(8, 1)}

    def work(g: dict) -> dict:
        seen.append(len(g["r"]))
        return {"r2": g["r"] + 1, "total": flat(g["before"] + len(g["r"]))}

    def collect(g: dict) -> dict:
        return {"y": picture(g["r"][: int(g["n"][0])].sum())}

    seen: list[int] = []
    rows = Rows("count", (2, 5, 8), ("r", "r2"), at_zero)
    calls = (
        Call("plan", "plan", {"x": "video"}, {"n": "count", "rows": "rows"}),
        Call(
            "one",
            "work",
            {"r": "rows", "before": "sum1"},
            {"r2": "once", "total": "sum1"},
            rows=rows,
        ),
        Call("two", "work", {"r": "once", "before": "sum2"}, {"r2": "twice", "total": "sum2"}, rows=rows),
        Call("collect", "collect", {"r": "twice", "n": "count"}, {"y": "out"}),
    )
    toy = Toy(
        {
            "plan": ("x:frame", "n:i32 rows:f[8,1]", plan),
            "work": ("r:f[8,1] before:f", "r2:f[8,1] total:f", work),
            "collect": ("r:f[8,1] n:i32", "y:frame", collect),
        },
        [Phase("play", "forever", calls, emit=Emit("out"))],
        slots={"sum1": Slot("float", (1,)), "sum2": Slot("float", (1,))},
        **more,
    )
    toy.seen = seen  # type: ignore[attr-defined]
    return toy


#: Sum over the first n of ``arange(8) + 2``.
SUMS = {n: sum(i + 2 for i in range(n)) for n in range(9)}


@pytest.mark.parametrize("at_zero", ["run", "skip"])
def test_the_smallest_bucket_that_holds_the_count(at_zero: Literal["run", "skip"]) -> None:
    toy = rows_toy(at_zero)
    events: list[Event] = []
    counts = [8, 1, 0, 2, 3, 5, 6, 0]
    with toy.stream(trace=events.append) as stream:
        assert shown(stream, *(100 + n for n in counts)) == [SUMS[n] for n in counts]
        buckets = {0: 2, 1: 2, 2: 2, 3: 5, 5: 5, 6: 8, 8: 8}
        ran = [buckets[n] for n in counts if n or at_zero == "run"]
        assert toy.seen == [bucket for bucket in ran for _ in range(2)]  # type: ignore[attr-defined]
        assert stream.slots()["sum2"].tolist() == [sum(ran)]
        # One read of the count per step, though two calls use it.
        assert stream.counters.host_syncs == len(counts)
    steps = [event.as_dict() for event in events if event.as_dict()["event"] == "step"]
    zero = {"run": ([["plan", None], ["one", 2], ["two", 2], ["collect", None]], [])}
    zero["skip"] = ([["plan", None], ["collect", None]], ["one", "two"])
    assert (steps[2]["calls"], steps[2]["left_out"]) == zero[at_zero]
    assert steps[4]["calls"][1:3] == [["one", 5], ["two", 5]]


@pytest.mark.parametrize("count", [-1, 9])
def test_a_count_out_of_range_fails_the_step(count: int) -> None:
    with rows_toy("run").stream() as stream:
        shown(stream, 103)
        before = stream.slots()
        with pytest.raises(StreamError, match="V2V-E3022"):
            stream.push(pixel(100 + count))
        assert stream.slots() == before
        assert shown(stream, 104) == [SUMS[4]]


def test_a_variant_may_have_other_buckets() -> None:
    toy = rows_toy("run", overrides={"play/one": CallOverride(buckets=(4, 8))})
    with toy.stream() as stream:
        assert shown(stream, 101) == [SUMS[1]]
    assert toy.seen == [4, 2]  # type: ignore[attr-defined]


def skip_toy(drop: int = 0) -> Toy:
    """Skips a frame that equals the last one; counts what the filter saw, and what the stream played."""

    def similar(g: dict) -> dict:
        same = g["x"].flat[0] == g["last"].flat[0]
        return {"same": np.array([same]), "seen": g["x"].copy(), "more": g["n"] + 1}

    def style(g: dict) -> dict:
        made = picture(10 * g["x"].flat[0] + g["k"][0] + g["s"][0])
        return {"y": made, "shown": made}

    calls = (
        Call(
            "similar",
            "similar",
            {"x": "video", "last": "last", "n": "looked"},
            {"same": "same", "seen": "last", "more": "looked"},
        ),
        Call("keys", "keys", {"p": "p"}, {"k": "k"}, when=Changed(("p",))),
        Call("style", "style", {"x": "video", "k": "k", "s": "step"}, {"y": "out", "shown": "shown"}),
    )
    frame = Slot("uint8", (1, 1, 1, 3))
    return Toy(
        {
            "similar": ("x:frame last:frame n:i64", "same:b seen:frame more:i64", similar),
            "keys": ("p:f", "k:f", lambda g: {"k": g["p"].copy()}),
            "style": ("x:frame k:f s:i64", "y:frame shown:frame", style),
        },
        [
            Phase(
                "play",
                "forever",
                calls,
                skip=Skip("same", "shown"),
                emit=Emit("out", drop_first=drop),
                resets=("shown",),
            )
        ],
        slots={"last": frame, "shown": frame, "k": Slot("float", (1,)), "looked": Slot("int64", (1,))},
        params={"p": ("f", np.array([0], np.float32))},
    )


def test_skip_repeats_the_stored_frame_for_the_new_timestamp() -> None:
    toy = skip_toy()
    events: list[Event] = []
    with toy.stream(trace=events.append) as stream:
        frames = [f for t, v in enumerate([5, 5, 5, 6, 6]) for f in stream.push(pixel(v), f"t{t}")]
        assert [int(f.rgb8.flat[0]) for f in frames] == [50, 50, 50, 61, 61]
        assert [f.timestamp for f in frames] == ["t0", "t1", "t2", "t3", "t4"]
        assert [f.skipped for f in frames] == [False, True, True, False, True]
        # The filter's memory commits; no counter moves.
        assert stream.slots()["looked"].tolist() == [5]
        counters = stream.counters
        assert (counters.steps, counters.skipped, counters.host_syncs) == (2, 3, 4)
        # Five frames, and ``step`` for each of 0, 1 and 2: not again for the steps that were skipped.
        assert counters.uploads == 5 + 3
    steps = [event.as_dict() for event in events if event.as_dict()["event"] == "step"]
    assert [(e["step"], e["frame_index"], e["skipped"]) for e in steps] == [
        (0, 0, False),
        (1, 1, True),
        (1, 1, True),
        (1, 1, False),
        (2, 2, True),
    ]
    assert steps[1]["calls"] == [["similar", None]]


def test_skip_is_not_honoured_before_there_is_a_frame_to_repeat() -> None:
    """The first frame equals the filter's initial memory; it is played all the same."""
    with skip_toy().stream() as stream:
        assert shown(stream, 0, 0) == [0, 0]
        assert (stream.counters.steps, stream.counters.skipped) == (1, 1)
        stream.reset()
        assert shown(stream, 0) == [0]
        assert stream.counters.steps == 2


def test_skip_is_not_honoured_while_frames_are_dropped() -> None:
    """What was dropped was never shown: there is still nothing to repeat."""
    with skip_toy(drop=2).stream() as stream:
        assert shown(stream, 5, 5, 5, 5) == [52, 52]
        assert (stream.counters.steps, stream.counters.skipped) == (3, 1)


def test_skip_is_not_honoured_while_the_stream_is_flushed() -> None:
    """One frame is in flight; a flush pushes an equal one, which the filter would take away."""
    with skip_toy(drop=1).stream() as stream:
        assert shown(stream, 5, 7) == [71]
        frames = stream.flush()
        assert [(int(f.rgb8.flat[0]), f.skipped) for f in frames] == [(72, False)]
        assert stream.counters.skipped == 0


def test_a_skip_commits_the_views_written_before_it_and_no_others() -> None:
    """Row 0 is the filter's, row 1 the player's; together they fill the slot, apart they must not."""
    look = ("x:frame", "same:b r:f[1,1]", lambda g: {
        "same": np.array([g["x"].flat[0] == 7]),
        "r": np.full((1, 1), g["x"].flat[0], np.float32),
    })  # fmt: skip
    play = ("x:frame s:f[2,1]", "y:frame shown:frame r:f[1,1]", lambda g: {
        "y": picture(10 * g["s"][0, 0] + g["s"][1, 0]),
        "shown": g["x"].copy(),
        "r": np.full((1, 1), g["x"].flat[0], np.float32),
    })  # fmt: skip
    calls = (
        Call("look", "look", {"x": "video"}, {"same": "same", "r": View("pair", 0, 1)}),
        Call(
            "play",
            "play",
            {"x": "video", "s": "pair"},
            {"y": "out", "shown": "shown", "r": View("pair", 1, 1)},
        ),
    )
    toy = Toy(
        {"look": look, "play": play},
        [Phase("p", "forever", calls, skip=Skip("same", "shown"), emit=Emit("out"))],
        slots={"pair": Slot("float", (2, 1)), "shown": Slot("uint8", (1, 1, 1, 3))},
    )
    with toy.stream() as stream:
        assert shown(stream, 1, 2, 7, 3) == [0, 11, 2, 72]
        np.testing.assert_array_equal(stream.slots()["pair"][:, 0], [3, 3])


def test_skip_waits_for_a_frame_when_its_slot_was_reset() -> None:
    with skip_toy().stream() as stream:
        assert shown(stream, 7) == [70]
        stream.enter("play")
        assert shown(stream, 7) == [70]
        assert stream.counters.skipped == 0


def test_a_change_stays_pending_while_steps_are_skipped() -> None:
    toy = skip_toy()
    with toy.stream() as stream:
        assert shown(stream, 3, 3) == [30, 30]
        stream.set_params(p=4)
        toy.calls.clear()
        assert shown(stream, 3) == [30]
        assert toy.calls == ["similar"]
        assert shown(stream, 2) == [25]
        assert toy.calls == ["similar", "similar", "keys", "style"]

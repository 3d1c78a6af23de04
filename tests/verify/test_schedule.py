"""How many frames cross everything that a program does."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from v2v_export.clip import clip_of
from v2v_export.verify.schedule import crossed, frames_to_cross, steps_to_cross
from v2v_runtime.manifest.model import (
    Call,
    Changed,
    Emit,
    Every,
    FrameSpec,
    Phase,
    Program,
    Ring,
    Skip,
    Slot,
    View,
)
from v2v_runtime.schedule import period

SIDE = 16


def call(name: str, when: Every | Changed | None = None, writes: str = "x") -> Call:
    return Call(name, "g", {}, {"y": writes}, when=when)


def program(*phases: Phase, ring: int | None = None) -> Program:
    size = FrameSpec(SIDE, SIDE)
    slots = {} if ring is None else {"past": Slot("float", (ring, 1), ring=Ring(ring))}
    return Program({"frame": size}, {"frame": size}, phases, max_frames=1, slots=slots)


def test_period_is_the_common_multiple_of_all_schedules() -> None:
    calls = (call("a"), call("b", Every(4, (1,))), call("c", Every(6, (0, 5))), call("d", Changed(("p",))))
    assert period(Phase("p", "forever", calls)) == 12


def test_two_refreshes_and_the_step_after() -> None:
    """Shortcut-V2V, interval 3: one full frame, then S S R S S R S."""
    phases = Phase("first", 1, (call("full"),)), Phase("stream", "forever", (call("r", Every(3, (2,))),))
    assert frames_to_cross(program(*phases)) == 1 + 7
    assert "phase stream: r ran 2 times" in crossed(program(*phases), {"first": 1, "stream": 7})


def test_a_ring_is_filled_wrapped_and_read() -> None:
    """Entries 0..7 fill it, the ninth step overwrites the first one, the tenth reads that."""
    made = program(Phase("stream", "forever", (call("a", writes="past"),)), ring=8)
    assert frames_to_cross(made) == 10
    assert crossed(made, {"stream": 10}) == [
        "phase stream: 10 steps",
        "phase stream: a ring of 8, 10 entries written",
    ]


def test_a_cache_that_a_graph_updates_itself_is_filled_wrapped_and_read() -> None:
    """As a ring of that length: five entries on the last axis but one."""
    caches = {f"cache_{index}": Slot("float", (1, 1, 5, 6)) for index in range(2)}
    views = {f"c{index}": View(name, 0, 1) for index, name in enumerate(caches)}
    ports = tuple(f"n{port}" for port in views)
    step = Call("a", "g", dict(views), dict(zip(ports, views.values(), strict=True)), in_place=ports)
    made = replace(program(Phase("stream", "forever", (step,))), slots=caches)
    assert frames_to_cross(made) == 7
    assert "phase stream: 2 rings of 5, 7 entries written" in crossed(made, {"stream": 7})


def test_a_ring_that_is_written_in_some_steps_only() -> None:
    made = program(Phase("stream", "forever", (call("a", Every(4, (1,)), writes="past"),)), ring=8)
    assert "phase stream: a ring of 8, 3 entries written" in crossed(made, {"stream": 10})


@pytest.mark.parametrize(("drop", "gather", "frames"), [(0, 1, 3), (1, 1, 3), (3, 1, 5), (7, 4, 16)])
def test_two_pictures_come_out(drop: int, gather: int, frames: int) -> None:
    """Three frames in flight before the first picture: the fifth step is the second that shows one."""
    phase = Phase("stream", "forever", (call("a"),), gather=gather, emit=Emit("x", drop_first=drop))
    assert frames_to_cross(program(phase)) == frames


def test_steps_are_run_though_frames_repeat() -> None:
    """Of 15 frames of a clip in which each third one repeats, wherever they begin, ten are new."""
    skip = Skip("flag", "x")
    stream = Phase("stream", "forever", (call("a", writes="past"),), skip=skip)
    for warm in range(1, 9):
        made = program(Phase("warmup", 1, (call("w"),), gather=warm), stream, ring=8)
        assert steps_to_cross(made, stream) == 10
        frames = clip_of(made, frames_to_cross(made))
        tail = [frame.tobytes() for frame in frames[warm - 1 :]]
        assert sum(one != other for one, other in pairwise(tail)) >= 10


def test_gathers_take_their_frames() -> None:
    phases = Phase("warmup", 2, (call("a"),), gather=8), Phase("stream", "forever", (call("b"),), gather=4)
    assert frames_to_cross(program(*phases)) == 2 * 8 + 3 * 4
    assert crossed(program(*phases), {"warmup": 2, "stream": 3}) == [
        "phase warmup: 2 steps",
        "phase stream: 3 steps",
    ]

"""How many frames cross everything that a program does."""

from __future__ import annotations

from v2v_export.verify.schedule import crossed, frames_to_cross, period
from v2v_runtime.manifest.model import Call, Changed, Every, FrameSpec, Phase, Program, Ring, Slot


def call(name: str, when: Every | Changed | None = None, writes: str = "x") -> Call:
    return Call(name, "g", {}, {"y": writes}, when=when)


def program(*phases: Phase, ring: int | None = None) -> Program:
    size = FrameSpec(2, 2)
    slots = {} if ring is None else {"past": Slot("float", (ring, 1), ring=Ring(ring))}
    return Program({"frame": size}, {"frame": size}, phases, max_frames=1, slots=slots)


def test_period_is_the_common_multiple_of_all_schedules() -> None:
    calls = (call("a"), call("b", Every(4, (1,))), call("c", Every(6, (0, 5))), call("d", Changed(("p",))))
    assert period(Phase("p", "forever", calls)) == 12


def test_two_refreshes_and_the_step_after() -> None:
    """Shortcut-V2V, interval 3: one full frame, then S S R S S R S."""
    phases = Phase("first", 1, (call("full"),)), Phase("stream", "forever", (call("r", Every(3, (2,))),))
    assert frames_to_cross(program(*phases)) == 1 + 7
    assert "phase stream: r ran 2 times" in crossed(program(*phases), 8)


def test_a_ring_is_filled_wrapped_and_read() -> None:
    """Entries 0..7 fill it, the ninth step overwrites the first one, the tenth reads that."""
    assert frames_to_cross(program(Phase("stream", "forever", (call("a", writes="past"),)), ring=8)) == 10


def test_gathers_take_their_frames() -> None:
    phases = Phase("warmup", 2, (call("a"),), gather=8), Phase("stream", "forever", (call("b"),), gather=4)
    assert frames_to_cross(program(*phases)) == 2 * 8 + 3 * 4
    told = crossed(program(*phases), 28)
    assert told[0] == "phase warmup: 2 steps"
    assert "phase stream: 3 steps" in told

"""The five families' programs against their simulations, on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from conformance.programs.base import Frame, StepError
from conformance.programs.lipar import LiparSimulation
from support.pairs import Footage, Pair, RandomDriver, assert_frames
from v2v_runtime.errors import StreamError
from v2v_runtime.stream import Stream

OPTIONS = {"threads": 1, "spin": False}
every_program = pytest.mark.parametrize("name", list(PROGRAMS))


def footage(name: str, seed: int) -> Footage:
    """LIPAR prunes what stands still, so it gets more of that."""
    return Footage(seed, still=0.93 if name == "lipar" else 0.3)


def length(name: str) -> int:
    return 12 * 12 if name == "lipar" else 48


@every_program
def test_plays_as_the_algorithm_says(name: str, written: Callable) -> None:
    made = written(name)
    with Stream(made.bundle, options=OPTIONS) as stream:
        pair = Pair(stream, made.synthetic)
        frames = footage(name, seed=1)
        for index in range(length(name)):
            pair.push(frames.next(), f"t{index}")
        pair.flush()
        assert stream.owed == 0


def test_lipar_meets_every_bucket_and_none(written: Callable) -> None:
    made = written("lipar")
    events: list = []
    with Stream(made.bundle, options=OPTIONS, trace=events.append) as stream:
        pair = Pair(stream, made.synthetic)
        still = footage("lipar", seed=1)
        for index in range(36 * 12):
            pair.push(still.next(), index)
        simulation = pair.simulation
        assert isinstance(simulation, LiparSimulation)
        stream.slots()
    expected = []
    for count in simulation.kept_counts:
        bucket = None if count == 0 else 8 if count <= 8 else 16 if count <= 16 else 24
        expected.append([] if bucket is None else [(f"dit{i}", bucket) for i in range(3)])
    steps = [event for event in events if event.as_dict()["event"] == "step"]
    assert [[call for call in event.calls if call[0].startswith("dit")] for event in steps] == expected
    assert {len(calls) and calls[0][1] for calls in expected} == {0, 8, 16, 24}
    late = [event for event in events if event.as_dict()["event"] == "late"]
    assert [event.left_out for event in late] == [() if calls else ("dit3",) for calls in expected]


@every_program
@pytest.mark.parametrize("seed", [11, 12])
def test_200_frames_of_anything(name: str, seed: int, written: Callable) -> None:
    made = written(name)
    phases = tuple(phase.name for phase in made.synthetic.program.phases)
    with Stream(made.bundle, options=OPTIONS) as stream:
        pair = Pair(stream, made.synthetic)
        driver = RandomDriver(pair, seed, phases, params=bool(made.synthetic.program.params))
        driver.footage = footage(name, seed)
        for index in range(200):
            driver.step(index)
    assert len(set(driver.done)) == 8, "the seed leaves something out: choose another"


@every_program
def test_a_snapshot_at_any_step_replays_the_same(name: str, written: Callable) -> None:
    made = written(name)
    count = 40 if name == "lipar" else 14
    frames = footage(name, seed=3)
    clip = [frames.next() for _ in range(count)]

    def play(stream: Stream, start: int) -> list[tuple[Frame, object]]:
        shown = [f for i in range(start, count) for f in stream.push(clip[i], i)] + stream.flush()
        return [(frame.rgb8, frame.timestamp) for frame in shown]

    with Stream(made.bundle, options=OPTIONS) as stream, Stream(made.bundle, options=OPTIONS) as other:
        for stop in range(0, count, 5 if name == "lipar" else 1):
            stream.reset()
            for index in range(stop):
                stream.push(clip[index], index)
            snapshot = stream.snapshot()
            expected = play(stream, stop)
            stream.restore(snapshot)
            assert_frames_equal(play(stream, stop), expected)
            other.restore(snapshot)
            assert_frames_equal(play(other, stop), expected)


def assert_frames_equal(made: list[tuple[Frame, object]], expected: list[tuple[Frame, object]]) -> None:
    assert [t for _, t in made] == [t for _, t in expected]
    for (a, _), (b, _) in zip(made, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@every_program
def test_a_step_that_failed_anywhere_never_was(name: str, written: Callable) -> None:
    made = written(name)
    count = 36 if name == "lipar" else 14
    frames = footage(name, seed=4)
    clip = [frames.next() for _ in range(count)]
    with Stream(made.bundle, options=OPTIONS) as stream:
        for position in range(count):
            stream.reset()
            simulation = made.synthetic.simulate()
            for index, frame in enumerate(clip):
                if index == position and not simulation.staged:
                    before = stream.slots()
                    for _ in range(simulation.gather() - 1):
                        assert stream.push(frames.bad(), "bad") == []
                    with pytest.raises(StreamError, match="V2V-E3020"):
                        stream.push(frames.bad(), "bad")
                    after = stream.slots()
                    assert all(np.array_equal(before[slot], after[slot]) for slot in before)
                assert_frames(stream.push(frame, index), simulation.push(frame, index))


@every_program
def test_nothing_is_allocated_or_bound_after_warm_up(name: str, written: Callable) -> None:
    made = written(name)
    with Stream(made.bundle, options=OPTIONS) as stream:
        at_start = stream.counters.allocations
        frames = footage(name, seed=5)
        # Until LIPAR has met each bucket with each set of buffers, it takes a while.
        for index in range(100 * 12 if name == "lipar" else 40):
            stream.push(frames.next(), index)
        warm = stream.counters
        for index in range(48):
            stream.push(frames.next(), index)
        delta = stream.counters - warm
    assert warm.allocations == at_start
    assert delta.allocations == 0
    assert delta.bindings == 0


@pytest.mark.parametrize("name", ["shortcut_v2v-shortcut", "streamv2v", "lipar"])
def test_late_calls_inline_give_the_same(name: str, written: Callable) -> None:
    made = written(name)
    with Stream(made.bundle, options=OPTIONS, late="inline") as stream:
        pair = Pair(stream, made.synthetic)
        frames = footage(name, seed=6)
        for index in range(60):
            pair.push(frames.late_trigger() if index % 5 == 3 else frames.next(), index)
    if name != "lipar":
        assert "V2V-E3024" in pair.failed


def test_live2diff_in_place_gives_the_same_even_when_poisoned(written: Callable) -> None:
    made = written("live2diff")
    with Stream(made.bundle, variant="in-place", options=OPTIONS) as stream:
        pair = Pair(stream, made.synthetic)
        frames = Footage(7)
        poisoned: set[tuple[str, ...]] = set()
        for index in range(40):
            poisoned.add(stream.poison_in_place())
            if index > 12 and index % 4 == 1:
                pair.push(frames.bad(), f"bad {index}")
                poisoned.add(stream.poison_in_place())
            pair.push(frames.next(), index)
        copies = stream.counters.copies
    assert poisoned == {(), ("unet",)}
    assert copies == 0
    assert "V2V-E3020" in pair.failed


def test_live2diff_warm_up_engines_leave_with_their_phase(written: Callable) -> None:
    made = written("live2diff")
    with Stream(made.bundle, options=OPTIONS) as stream:
        frames = Footage(8)
        warm_up = {"encode_all", "denoise_all", "decode_all"}
        assert stream.session.loaded() == {"encode", "unet_step", "decode"} | warm_up
        for index in range(9):
            stream.push(frames.next(), index)
        assert stream.session.loaded() == {"encode", "unet_step", "decode"}
        stream.enter("warmup")
        assert warm_up < stream.session.loaded()


def test_simulations_fail_where_they_must() -> None:
    """The pairs above prove nothing about failures if the simulations cannot fail."""
    frame = Footage(9).bad()
    for make in PROGRAMS.values():
        simulation = make().simulate()
        for _ in range(simulation.gather() - 1):
            simulation.push(frame, 0)
        with pytest.raises(StepError):
            simulation.push(frame, 0)

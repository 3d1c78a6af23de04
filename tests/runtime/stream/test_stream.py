"""The life of a stream: order of calls, threads, sharing, snapshots of others, self-test, import."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from support.machines import BLOBS, Toy, flat, pixel, shown, values
from v2v_runtime.backends.callables import CallableBackend
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import BlobRef, Call, Emit, Phase, SelfTest, Slot
from v2v_runtime.stream import Stream


def summing(**more: Any) -> Toy:
    """Shows the sum of all frames so far."""

    def add(g: dict) -> dict:
        total = g["s"] + g["x"].flat[0]
        return {"y": np.full((1, 1, 1, 3), int(total[0]) % 256, np.uint8), "n": flat(total)}

    call = Call("add", "add", {"x": "video", "s": "s"}, {"y": "out", "n": "s"})
    return Toy(
        {"add": ("x:frame s:f", "y:frame n:f", add)},
        [Phase("play", "forever", (call,), emit=Emit("out"))],
        slots={"s": Slot("float", (1,))},
        **more,
    )


def test_submit_and_collect_take_turns() -> None:
    with summing().stream() as stream:
        with pytest.raises(StreamError, match="V2V-E3007"):
            stream.collect()
        stream.submit(pixel(1))
        for early in (
            lambda: stream.submit(pixel(2)),
            lambda: stream.push(pixel(2)),
            stream.flush,
            stream.snapshot,
            stream.slots,
            lambda: stream.set_params({}),
            lambda: stream.enter("play"),
        ):
            with pytest.raises(StreamError, match="V2V-E3007"):
                early()
        assert values(stream.collect()) == [1]
        with pytest.raises(StreamError, match="V2V-E3007"):
            stream.collect()
        stream.submit(pixel(5))
        stream.reset()
        assert shown(stream, 2) == [2]


def test_a_submit_that_failed_is_not_collected() -> None:
    with summing().stream() as stream:
        with pytest.raises(StreamError, match="V2V-E3002"):
            stream.submit(np.zeros((2, 2, 3), np.uint8))
        with pytest.raises(StreamError, match="V2V-E3007"):
            stream.collect()
        assert shown(stream, 3) == [3]


def test_a_closed_stream_says_so() -> None:
    stream = summing().stream()
    shown(stream, 1)
    stream.close()
    stream.close()
    assert stream.closed
    for late in (lambda: stream.push(pixel(1)), stream.flush, stream.reset, stream.snapshot):
        with pytest.raises(StreamError, match="V2V-E3005"):
            late()


def test_with_closes() -> None:
    toy = summing()
    with toy.stream() as stream:
        shown(stream, 1)
    assert stream.closed
    assert toy.backend.closes == ["add"]
    assert stream.session.closed


def test_two_threads_at_once_are_refused() -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow(g: dict) -> dict:
        inside.set()
        assert leave.wait(60)
        return {"y": g["x"].copy()}

    call = Call("slow", "slow", {"x": "video"}, {"y": "out"})
    toy = Toy({"slow": ("x:frame", "y:frame", slow)}, [Phase("play", "forever", (call,), emit=Emit("out"))])
    with toy.stream() as stream:
        made: list[int] = []
        thread = threading.Thread(target=lambda: made.extend(shown(stream, 7)))
        thread.start()
        assert inside.wait(60)
        for intruder in (lambda: stream.push(pixel(1)), stream.reset, stream.close, stream.flush):
            with pytest.raises(StreamError, match="V2V-E3004"):
                intruder()
        leave.set()
        thread.join()
        assert made == [7]
        assert shown(stream, 8) == [8]


def test_streams_of_one_bundle_share_engines_and_nothing_else(written: Any) -> None:
    made = written("std")
    with Stream(made.bundle) as a, Stream(made.bundle) as b, Stream(made.bundle, options={"threads": 1}) as c:
        assert a.session is b.session
        assert a.session is not c.session
        frames = np.random.default_rng(0).integers(0, 250, (6, 2, 4, 3), dtype=np.uint8)
        a.push(frames[0])
        a.set_params(guidance=7)
        simulation = made.synthetic.simulate()
        for frame in frames:
            (expected,) = simulation.push(frame, 0)
            np.testing.assert_array_equal(b.push(frame)[0].rgb8, expected[0])
        # Closing one of them, even twice, takes nothing from the other.
        a.close()
        a.close()
        assert not b.session.closed
        assert len(b.push(frames[0])) == 1
        session = b.session
    assert session.closed
    with Stream(made.bundle) as again:
        assert again.session is not session


def test_one_bundle_plays_in_many_threads_at_once(written: Any) -> None:
    made = written("live2diff")
    frames = np.random.default_rng(1).integers(0, 250, (40, 2, 4, 3), dtype=np.uint8)
    wrong: list[str] = []

    def play(turn: int) -> None:
        simulation = made.synthetic.simulate()
        with Stream(made.bundle, options={"threads": 1}) as stream:
            for index, frame in enumerate(np.roll(frames, turn, axis=0)):
                expected = simulation.push(frame, index)
                if [f.rgb8.tolist() for f in stream.push(frame)] != [p.tolist() for p, _ in expected]:
                    wrong.append(f"thread {turn}, frame {index}")

    threads = [threading.Thread(target=play, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_snapshot_fits_only_its_bundle_and_float() -> None:
    toy = summing()
    with toy.stream() as stream:
        shown(stream, 5)
        snapshot = stream.snapshot()
        shown(stream, 6)
        with pytest.raises(StreamError, match="V2V-E3040"):
            stream.restore(dataclasses.replace(snapshot, identity="f" * 64))
        with pytest.raises(StreamError, match="V2V-E3041"):
            stream.restore(dataclasses.replace(snapshot, float_type="float16"))
        assert shown(stream, 1) == [12]
        stream.restore(snapshot)
        assert shown(stream, 1) == [6]


def test_a_snapshot_is_not_touched_by_the_stream_that_goes_on() -> None:
    with summing().stream() as stream:
        shown(stream, 5)
        snapshot = stream.snapshot()
        shown(stream, 6, 7)
        assert snapshot.slots["s"].tolist() == [5]
        assert snapshot.last is not None
        assert snapshot.last.tolist() == [[[[5, 5, 5]]]]


def self_testing(outputs: list[int]) -> Toy:
    test = SelfTest(
        BlobRef(BLOBS, "given"),
        BlobRef(BLOBS, "expected"),
        {"float32": 1},
    )
    given = np.stack([pixel(v) for v in (1, 2, 3)])
    expected = np.stack([pixel(v) for v in outputs])
    return summing(selftest=test, blobs={"given": given, "expected": expected})


@pytest.mark.parametrize(
    ("outputs", "difference", "worst", "passed"),
    [([1, 3, 6], 0, 0, True), ([1, 4, 6], 1, 1, True), ([1, 3, 8], 2, 2, False), ([1, 3], 0, 0, False)],
)
def test_selftest_compares_and_leaves_the_stream_as_it_was(
    outputs: list[int], difference: int, worst: int, passed: bool
) -> None:
    with self_testing(outputs).stream() as stream:
        assert shown(stream, 10, 20) == [10, 30]
        report = stream.selftest()
        assert (report.max_difference, report.worst_frame, report.passed) == (difference, worst, passed)
        assert (report.frames, report.expected) == (3, len(outputs))
        assert [(int(f.rgb8.flat[0]), f.timestamp) for f in stream.push(pixel(1))] == [(31, 2)]


def test_a_bundle_without_frames_cannot_test_itself() -> None:
    with summing().stream() as stream, pytest.raises(StreamError, match="V2V-E3060"):
        stream.selftest()


def test_what_the_steps_cost_is_counted_exactly() -> None:
    """Ten steps of the sum: one frame up, one down, one call each, nothing else."""
    with summing().stream() as stream:
        start = stream.counters
        assert dataclasses.asdict(start) == dict.fromkeys(dataclasses.asdict(start), 0) | {
            # Two buffers each of the slot and of the input; the output.
            "allocations": 5
        }
        shown(stream, *range(10))
        counted = dataclasses.asdict(stream.counters - start)
    nonzero = {name: count for name, count in counted.items() if count}
    assert nonzero == {
        "frames_in": 10,
        "frames_out": 10,
        "steps": 10,
        "calls": 10,
        "uploads": 10,
        "uploaded_bytes": 30,
        "downloads": 10,
        "downloaded_bytes": 30,
        "bindings": 2,
    }


def test_times_are_kept_when_asked_for() -> None:
    with summing().stream(timing=True) as stream:
        shown(stream, 1, 2, 3)
        assert set(stream.times) == {"play/add"}
        assert stream.times["play/add"].runs == 3
        assert stream.times["play/add"].total_ns >= stream.times["play/add"].last_ns > 0
    with summing().stream() as stream:
        shown(stream, 1)
        assert stream.times == {}


def test_importing_is_cheap_and_brings_no_model_library() -> None:
    """In a process of its own: neither torch nor onnx, and onnxruntime only when a backend opens."""
    code = (
        "import sys, v2v_runtime; v2v_runtime.Stream; v2v_runtime.Bundle; "
        "banned = {'torch', 'onnx', 'diffusers', 'onnxruntime', 'av', 'onnxscript'}; "
        "found = sorted(banned & set(sys.modules)); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    code = (
        "import sys; import v2v_runtime.backends.onnxruntime as b; b.open_backend({}); "
        "banned = {'torch', 'onnx', 'diffusers', 'av'}; "
        "found = sorted(banned & set(sys.modules)); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_names_are_there() -> None:
    import v2v_runtime

    assert {name: getattr(v2v_runtime, name) for name in v2v_runtime.__all__}
    assert set(v2v_runtime.__all__) <= set(dir(v2v_runtime))
    with pytest.raises(AttributeError):
        v2v_runtime.nothing  # noqa: B018


def test_the_backend_given_is_the_streams_own() -> None:
    toy = summing()
    assert isinstance(toy.backend, CallableBackend)
    with toy.stream() as a:
        assert a.session.backend is toy.backend
    assert toy.backend.loads == toy.backend.closes == ["add"]

"""What the C ABI refuses: null and stale handles, wrong sizes, small buffers, two threads, changed files."""

from __future__ import annotations

import ctypes as c
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conformance.programs import PROGRAMS
from support.bundles import make_bundle, make_manifest, make_target
from support.cpp import (
    TRACE,
    CppError,
    CppStream,
    Error,
    Frame,
    Library,
    Param,
    StreamOptions,
    frame_of,
    refused,
)
from v2v_runtime.bundle_writer import write_target

OPTIONS = json.dumps({"threads": 1})
PICTURE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


@pytest.fixture
def stream(library: Library, bundles):
    handle = library.open(bundles("shortcut_v2v-shortcut").root)
    made = CppStream(library, handle, options=OPTIONS)
    library.destroy("bundle", handle)
    yield made
    library.destroy("stream", made.handle)


def test_null_handles_and_pointers(library: Library, stream: CppStream) -> None:
    count = c.c_size_t()
    frame, room = frame_of(PICTURE), (Frame * 1)(frame_of(PICTURE.copy()))
    push = "stream_push"
    assert refused(lambda: library.call("bundle_open", None, None, 0, c.byref(c.c_void_p()))) == "V2V-E3100"
    assert refused(lambda: library.call("bundle_open", None, b"x", 0, None)) == "V2V-E3100"
    assert refused(lambda: library.call(push, None, frame, room, 1, c.byref(count))) == "V2V-E3100"
    assert refused(lambda: library.call(push, stream.handle, None, room, 1, c.byref(count))) == "V2V-E3100"
    assert refused(lambda: library.call(push, stream.handle, frame, None, 1, c.byref(count))) == "V2V-E3100"
    assert refused(lambda: library.call(push, stream.handle, frame, room, 1, None)) == "V2V-E3100"
    assert refused(lambda: library.call("stream_enter", stream.handle, None)) == "V2V-E3100"
    no_data = frame_of(PICTURE, data=None)
    assert refused(lambda: library.call(push, stream.handle, no_data, room, 1, c.byref(count))) == "V2V-E3100"
    assert library.destroy("stream", None) == 3100
    assert len(stream.push(PICTURE)) == 1


def test_stale_and_foreign_handles(library: Library, bundles) -> None:
    handle = library.open(bundles("std").root)
    made = CppStream(library, handle, options=OPTIONS)
    assert refused(lambda: library.call("stream_enter", handle, b"stream")) == "V2V-E3101"  # a bundle's
    snapshot = made.snapshot()
    assert library.destroy("snapshot", snapshot) == 0
    assert refused(lambda: made.restore(snapshot)) == "V2V-E3101"
    made.close()
    assert library.destroy("stream", made.handle) == 3101
    again = CppStream(library, handle, options=OPTIONS)  # takes the place of the first in the table
    assert refused(lambda: made.push(PICTURE)) == "V2V-E3101"
    assert again.push(PICTURE) is not None
    again.close()
    assert library.destroy("bundle", handle) == 0
    assert library.destroy("bundle", handle) == 3101
    assert refused(lambda: library.call("stream_reset", c.c_void_p(0xDEAD0001), 0)) == "V2V-E3101"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (b"\xff-\xfe", "\ufffd-\ufffd"),
        ("ä画".encode()[:-1], "ä\ufffd\ufffd"),
        (b"\xc0\xaf\xed\xa0\x80", "\ufffd" * 5),
        ("ä画😀".encode(), "ä画😀"),
    ],
    ids=["bytes", "cut", "overlong", "good"],
)
def test_words_are_utf_8_whatever_they_quote(given: bytes, told: str, library: Library) -> None:
    with pytest.raises(CppError) as caught:
        library.call("bundle_open", None, b"/nowhere/" + given, 0, c.byref(c.c_void_p()))
    assert str(caught.value).startswith(f"[V2V-E1001] /nowhere/{told} does not exist")


def test_long_words_end_with_a_whole_character(library: Library) -> None:
    """2039 bytes, of which the last character takes as many as are left."""
    for shift in range(3):
        path = ("/" + "x" * shift + "/画" * 1000).encode()
        with pytest.raises(CppError, match="V2V-E1001") as caught:
            library.call("bundle_open", None, path, 0, c.byref(c.c_void_p()))
        words = str(caught.value).encode()
        assert 2036 <= len(words) <= 2039
        assert words == f"[V2V-E1001] {path.decode()}".encode()[: len(words)]


def test_struct_sizes(library: Library, stream: CppStream) -> None:
    count = c.c_size_t()
    frame, room = frame_of(PICTURE), (Frame * 1)(frame_of(PICTURE.copy()))
    frame.struct_size += 8
    assert (
        refused(lambda: library.call("stream_push", stream.handle, frame, room, 1, c.byref(count)))
        == "V2V-E3102"
    )
    frame.struct_size -= 8
    room[0].struct_size = 0
    assert (
        refused(lambda: library.call("stream_push", stream.handle, frame, room, 1, c.byref(count)))
        == "V2V-E3102"
    )
    error = Error()
    error.struct_size = 4
    assert library.functions.v2v_stream_reset(stream.handle, 0, c.byref(error)) == 3102
    assert len(stream.push(PICTURE)) == 1


def test_frames_that_do_not_fit(library: Library, stream: CppStream) -> None:
    count = c.c_size_t()

    def push(given: Frame, taken: Frame, capacity: int = 1) -> str:
        room = (Frame * 1)(taken)
        arguments = (stream.handle, given, room, capacity, c.byref(count))
        return refused(lambda: library.call("stream_push", *arguments))

    good = frame_of(PICTURE)
    assert push(good, frame_of(PICTURE.copy()), capacity=0) == "V2V-E3008"
    assert push(good, frame_of(PICTURE.copy(), height=1)) == "V2V-E3008"
    assert push(good, frame_of(PICTURE.copy(), row_stride=11)) == "V2V-E3003"
    assert push(good, frame_of(PICTURE.copy(), row_stride=2**62)) == "V2V-E3003"
    assert push(frame_of(PICTURE, width=5), frame_of(PICTURE.copy())) == "V2V-E3002"
    assert push(frame_of(PICTURE, row_stride=11), frame_of(PICTURE.copy())) == "V2V-E3003"
    assert push(frame_of(PICTURE, row_stride=-12), frame_of(PICTURE.copy())) == "V2V-E3003"
    assert push(frame_of(PICTURE, row_stride=2**62), frame_of(PICTURE.copy())) == "V2V-E3003"
    assert push(frame_of(PICTURE, memory=1), frame_of(PICTURE.copy())) == "V2V-E3103"
    assert push(frame_of(PICTURE, format=7), frame_of(PICTURE.copy())) == "V2V-E3103"
    # None of them was staged: the first frame that fits is the stream's first.
    (shown,) = stream.push(PICTURE)
    assert (shown.index, shown.timestamp) == (0, 0)


def test_order_of_calls(library: Library, stream: CppStream) -> None:
    count = c.c_size_t()
    room = (Frame * 1)(frame_of(PICTURE.copy()))
    assert (
        refused(lambda: library.call("stream_collect", stream.handle, room, 1, c.byref(count))) == "V2V-E3007"
    )
    library.call("stream_submit", stream.handle, frame_of(PICTURE))
    assert refused(lambda: library.call("stream_submit", stream.handle, frame_of(PICTURE))) == "V2V-E3007"
    no_room = (stream.handle, None, 0, c.byref(count))
    assert refused(lambda: library.call("stream_flush", *no_room)) == "V2V-E3007"
    library.call("stream_collect", stream.handle, room, 1, c.byref(count))
    assert count.value == 1
    stream.flush()
    assert refused(lambda: stream.push(PICTURE)) == "V2V-E3006"


def test_a_second_call_is_refused_while_one_is_inside(library: Library, bundles) -> None:
    """By the same thread, out of a trace callback, and by another one."""
    handle = library.open(bundles("shortcut_v2v-shortcut").root)
    stream = c.c_void_p()
    codes: list[int] = []

    def intrude() -> None:
        made, frames = c.c_size_t(), (Frame * 1)(frame_of(PICTURE.copy()))
        pushed = (stream, frame_of(PICTURE), frames, 1, c.byref(made), None)
        codes.append(library.functions.v2v_stream_push(*pushed))
        codes.append(library.functions.v2v_stream_reset(stream, 0, None))
        codes.append(library.destroy("stream", stream))

    def from_inside(_: Any, event: bytes) -> None:
        if b'"step"' in event:  # the stream's own thread is inside a push now
            intrude()
            thread = threading.Thread(target=intrude)
            thread.start()
            thread.join()

    trace = TRACE(from_inside)
    options = StreamOptions(0, options=OPTIONS.encode(), trace=trace)
    library.call("stream_create", handle, c.byref(options), c.byref(stream))
    count, room = c.c_size_t(), (Frame * 1)(frame_of(PICTURE.copy()))
    library.call("stream_push", stream, frame_of(PICTURE), room, 1, c.byref(count))
    assert codes == [3004] * 6
    assert count.value == 1
    assert library.destroy("stream", stream) == 0
    library.destroy("bundle", handle)


def test_params_that_do_not_fit(library: Library, bundles) -> None:
    handle = library.open(bundles("stream_diffusion").root)
    stream = CppStream(library, handle, options=OPTIONS)
    guidance = np.ones(1, np.float32)
    stream.set_params({"guidance": guidance})
    assert refused(lambda: stream.set_params({"guidance": np.ones(2, np.float32)})) == "V2V-E3011"
    assert refused(lambda: stream.set_params({"guidance": np.array([np.nan])})) == "V2V-E3013"
    assert refused(lambda: stream.set_params({"guidance": np.array([1e300])})) == "V2V-E3013"
    assert refused(lambda: stream.set_params({"guidance": np.ones(1, np.bool_)})) == "V2V-E3012"
    prompt = np.zeros((1, 4), np.int64)
    prompt[0, 0] = 2**31
    assert refused(lambda: stream.set_params({"prompt": prompt})) == "V2V-E3012"
    shape = (c.c_int64 * 1)(1)
    odd = Param(99, b"guidance", guidance.ctypes.data, shape, 1)
    assert refused(lambda: library.call("stream_set_params", stream.handle, c.byref(odd), 1)) == "V2V-E3012"
    stream.close()
    library.destroy("bundle", handle)


def test_options_and_targets(library: Library, bundles) -> None:
    handle = library.open(bundles("std").root)
    for code, texts in {
        "V2V-E4009": {"options": '{"thread": 1}'},
        "V2V-E2002": {"options": "{"},
        "V2V-E4015": {"variant": "none"},
        "V2V-E4004": {"options": '{"provider": "cuda"}'},
    }.items():
        assert refused(lambda texts=texts: CppStream(library, handle, **texts)) == code
    with pytest.raises(CppError, match=r"has the providers .*CPUExecutionProvider"):
        CppStream(library, handle, options='{"provider": "cuda", "device": 1}')
    for given, told in {
        '{"arena": 1}': "'arena'.* is 1",
        '{"threads": -1}': "'threads'.* is -1",
        '{"threads": "1"}': "'threads'.* is '1'",
        '{"provider": "npu"}': "'provider'.* is 'npu'",
    }.items():
        with pytest.raises(CppError, match=rf"V2V-E4009\] option {told}\n  expected: "):
            CppStream(library, handle, options=given)
    CppStream(library, handle, options='{"threads": 1, "arena": false}').close()
    with pytest.raises(
        CppError, match=r"none; run v2v-export build .*\n  to do: there is none to choose"
    ) as caught:
        CppStream(library, handle, target="rtx4090")
    assert caught.value.code == "V2V-E1020"
    assert refused(lambda: CppStream(library, handle, flags=64)) == "V2V-E3103"
    library.destroy("bundle", handle)


def test_a_missing_target_is_told_with_those_that_are_there(library: Library, tmp_path: Path) -> None:
    bundle = PROGRAMS["std"]().write(tmp_path / "bundle")
    for profile, backend in (("cpu", "onnxruntime"), ("rtx4090", "tensorrt"), ("rtx4090", "onnxruntime")):
        write_target(bundle.root, make_target(profile=profile, backend=backend))
    handle = library.open(bundle.root)
    present = "cpu.onnxruntime, rtx4090.onnxruntime, rtx4090.tensorrt"
    for asked, words in {"rtx5090": "there is no target 'rtx5090'", "rtx4090": "fits 2 targets"}.items():
        with pytest.raises(CppError, match=words) as caught:
            CppStream(library, handle, target=asked)
        assert caught.value.code == "V2V-E1020"
        assert present in str(caught.value)
    library.destroy("bundle", handle)


def test_a_bundle_that_changes_after_it_was_opened(library: Library, tmp_path: Path) -> None:
    bundle = PROGRAMS["std"]().write(tmp_path / "bundle")
    handle = library.open(bundle.root)
    graph = next(bundle.root.glob("graphs/*.onnx"))
    data = bytearray(graph.read_bytes())
    data[-1] ^= 1
    graph.write_bytes(data)
    assert refused(lambda: CppStream(library, handle, options=OPTIONS)) == "V2V-E1012"
    assert refused(lambda: library.open(bundle.root)) == "V2V-E1012"
    graph.unlink()
    assert refused(lambda: CppStream(library, handle, options=OPTIONS)) == "V2V-E1010"
    library.destroy("bundle", handle)


def test_damaged_bundles_give_the_codes_of_python(library: Library, bundles, tmp_path: Path) -> None:
    source = bundles("stream_diffusion").root

    def damaged(name: str, change: Any) -> str:
        folder = tmp_path / name
        shutil.copytree(source, folder)
        change(folder)
        return refused(lambda: library.open(folder))

    def flip(path: str) -> Any:
        def change(folder: Path) -> None:
            data = bytearray((folder / path).read_bytes())
            data[len(data) // 2] ^= 1
            (folder / path).write_bytes(data)

        return change

    blob = "blobs/tables.safetensors"
    assert damaged("seal", flip("bundle.json")) == "V2V-E1016"
    assert damaged("blob", flip(blob)) == "V2V-E1012"
    assert damaged("short", lambda f: (f / blob).write_bytes(b"")) == "V2V-E1011"
    assert damaged("missing", lambda f: (f / blob).unlink()) == "V2V-E1010"
    assert damaged("extra", lambda f: (f / "graphs/x").write_bytes(b"")) == "V2V-E1013"
    assert damaged("link", lambda f: (f / "graphs/x").symlink_to("/etc/passwd")) == "V2V-E1014"
    assert damaged("hard", lambda f: (f / "graphs/x").hardlink_to(f / blob)) == "V2V-E1014"
    assert refused(lambda: library.open(tmp_path / "nothing")) == "V2V-E1001"
    assert refused(lambda: library.open(tmp_path)) == "V2V-E1002"


def test_a_graph_newer_than_onnx_runtime(library: Library, tmp_path: Path) -> None:
    synthetic = PROGRAMS["std"]()
    files = synthetic.onnx()
    name, data = next(iter(files.items()))
    model = onnx.load_model_from_string(data)
    model.opset_import[0].version = 999
    files[name] = model.SerializeToString()
    manifest = make_manifest(synthetic.program, synthetic.graphs())
    bundle = make_bundle(
        tmp_path / "new", manifest, files, {"blobs/tables.safetensors": dict(synthetic.blobs)}
    )
    handle = library.open(bundle.root)
    with pytest.raises(
        CppError, match=r"V2V-E4006\] graph '\w+' needs a newer ONNX Runtime than \d+\.\d+"
    ) as caught:
        CppStream(library, handle, options=OPTIONS)
    assert "upgrade ONNX Runtime" in str(caught.value)
    library.destroy("bundle", handle)


def test_a_call_that_may_not_come_now_is_refused_before_its_frame_is_looked_at(
    library: Library, stream: CppStream
) -> None:
    wrong, count = frame_of(np.zeros((3, 4, 3), np.uint8)), c.c_size_t()
    room = (Frame * 1)(frame_of(PICTURE.copy()))
    collect = lambda size: library.call("stream_collect", stream.handle, room, size, c.byref(count))  # noqa: E731
    assert refused(lambda: collect(0)) == "V2V-E3007"
    library.call("stream_submit", stream.handle, frame_of(PICTURE))
    assert refused(lambda: library.call("stream_submit", stream.handle, wrong)) == "V2V-E3007"
    assert refused(lambda: collect(0)) == "V2V-E3008"
    collect(1)
    assert refused(lambda: library.call("stream_submit", stream.handle, wrong)) == "V2V-E3002"

"""What the C ABI refuses of any program: null and stale handles, structs of other sizes, small buffers."""

from __future__ import annotations

import ctypes as c
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from support.both import TIMING
from support.bundles import make_target
from support.cpp import (
    ALLOCATE,
    DTYPES,
    FUNCTIONS,
    LOG,
    BundleInfo,
    ContextOptions,
    Counters,
    CppError,
    CppStream,
    Error,
    Frame,
    Library,
    Param,
    SelfTest,
    StreamOptions,
    Struct,
    Timing,
    frame_of,
    refused,
)
from v2v_runtime.bundle_writer import write_target

OPTIONS = json.dumps({"threads": 1})
HANDLES = 32_767
PICTURE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nulls_alone(name: str, library: Library) -> None:
    nothing = [0 if kind in (c.c_uint32, c.c_size_t) else None for kind in FUNCTIONS[name]]
    assert refused(lambda: library.call(name, *nothing)) == "V2V-E3100"


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "context_create"])
def test_a_handle_that_nobody_made(name: str, library: Library) -> None:
    rest = [0 if kind in (c.c_uint32, c.c_size_t) else None for kind in FUNCTIONS[name][1:]]
    if name == "bundle_open":
        rest = [b"bundle", 0, c.byref(c.c_void_p())]
    assert refused(lambda: library.call(name, c.c_void_p(0xDEAD0001), *rest)) == "V2V-E3101"


def test_what_fails_gives_a_null_handle(library: Library, bundles) -> None:
    """Whatever is wrong: the handle that it is made of, an argument, or the error's own struct."""
    bundle = library.open(bundles("std").root)
    stream = CppStream(library, bundle, options=OPTIONS)
    stale, made = c.c_void_p(0xDEAD0001), c.c_void_p()
    unknown = StreamOptions(flags=1 << 31)
    halved = ContextOptions(allocate=ALLOCATE(lambda *_: None))
    out = c.byref(made)
    cases: list[tuple[str, tuple[Any, ...]]] = [
        ("context_create", (c.byref(halved), out)),
        ("bundle_open", (stale, b"bundle", 0, out)),
        ("bundle_open", (None, None, 0, out)),
        ("stream_create", (stale, None, out)),
        ("stream_create", (None, None, out)),
        ("stream_create", (bundle, c.byref(unknown), out)),
        ("stream_snapshot", (stale, out)),
        ("stream_snapshot", (None, out)),
    ]
    for name, arguments in cases:
        made.value = 0x5A5A
        assert refused(lambda name=name, given=arguments: library.call(name, *given)) != ""
        assert (name, made.value) == (name, None)
    wrong = Error()
    wrong.struct_size = 4
    right: dict[str, tuple[Any, ...]] = {
        "context_create": (None, out),
        "bundle_open": (None, b"bundle", 0, out),
        "stream_create": (bundle, None, out),
        "stream_snapshot": (stream.handle, out),
    }
    for name, arguments in right.items():
        made.value = 0x5A5A
        status = getattr(library.functions, f"v2v_{name}")(*arguments, c.byref(wrong))
        assert (name, status, made.value) == (name, 3102, None)
    stream.close()
    library.destroy("bundle", bundle)


def test_the_size_of_every_struct(library: Library, bundles) -> None:
    handle, made = library.open(bundles("stream_diffusion").root), c.c_void_p()
    stream = CppStream(library, handle, TIMING, options=OPTIONS)
    guidance, shape = np.ones(1, np.float32), (c.c_int64 * 1)(1)
    stream.push(PICTURE)
    count = c.c_size_t()
    cases: dict[str, tuple[Struct, Callable[[Struct], tuple[Any, ...]]]] = {
        "context_create": (ContextOptions(), lambda given: (c.byref(given), c.byref(made))),
        "bundle_get_info": (BundleInfo(), lambda given: (handle, c.byref(given))),
        "stream_create": (StreamOptions(), lambda given: (handle, c.byref(given), c.byref(made))),
        "stream_submit": (frame_of(PICTURE), lambda given: (stream.handle, c.byref(given))),
        "stream_set_params": (
            Param(DTYPES["float32"], b"guidance", guidance.ctypes.data, shape, 1),
            lambda given: (stream.handle, c.byref(given), 1),
        ),
        "stream_selftest": (SelfTest(), lambda given: (stream.handle, c.byref(given))),
        "stream_get_counters": (Counters(), lambda given: (stream.handle, c.byref(given))),
        "stream_get_timings": (Timing(), lambda given: (stream.handle, c.byref(given), 1, c.byref(count))),
    }
    for name, (given, arguments) in cases.items():
        right = given.struct_size
        for wrong in (0, right - 4, right + 8):
            given.struct_size = wrong
            code = refused(lambda name=name, made=arguments(given): library.call(name, *made))
            assert (name, code) == (name, "V2V-E3102")
    stream.close()
    library.destroy("bundle", handle)


def test_buffers_that_are_too_small(library: Library, bundles, tmp_path: Path) -> None:
    bundle = PROGRAMS["live2diff"]().write(tmp_path / "bundle")
    write_target(bundle.root, make_target())
    handle, name = library.open(bundle.root), b"cpu.onnxruntime"
    for size in (0, 1, len(name)):
        room = c.create_string_buffer(b"as before", 32)
        short = (handle, 0, room, size)
        assert refused(lambda short=short: library.call("bundle_target_name", *short)) == "V2V-E3008"
        assert room.value == b"as before"
    room = c.create_string_buffer(32)
    library.call("bundle_target_name", handle, 0, room, len(name) + 1)
    assert room.value == name
    assert refused(lambda: library.call("bundle_target_name", handle, 1, room, 32)) == "V2V-E1020"
    stream, count = CppStream(library, handle, options=OPTIONS), c.c_size_t()
    for _ in range(3):
        stream.push(PICTURE)
    one = (Frame * 1)(frame_of(PICTURE.copy()))
    assert stream.owed() == 3
    assert refused(lambda: library.call("stream_flush", stream.handle, one, 1, c.byref(count))) == "V2V-E3008"
    assert (count.value, stream.owed()) == (0, 3)
    assert len(stream.flush()) == 3
    stream.close()
    library.destroy("bundle", handle)


def test_more_handles_than_there_is_room_for(library: Library) -> None:
    made: list[c.c_void_p] = []
    options = ContextOptions()

    def one() -> None:
        made.append(c.c_void_p())
        library.call("context_create", c.byref(options), c.byref(made[-1]))

    code = ""
    while not code and len(made) <= HANDLES:
        try:
            one()
        except CppError as error:
            code = error.code
    assert code == "V2V-E3106"
    assert not made.pop()
    assert library.destroy("context", made.pop()) == 0
    one()
    assert {library.destroy("context", handle) for handle in made} == {0}


@pytest.mark.parametrize("forget", ["reset", "restore", "close"])
def test_a_late_failure_that_no_call_tells_of_is_a_warning(forget: str, library: Library, bundles) -> None:
    told: list[tuple[int, str]] = []
    log = LOG(lambda _, level, words: told.append((level, words.decode())))
    options, context = ContextOptions(log=log), c.c_void_p()
    library.call("context_create", c.byref(options), c.byref(context))
    handle = library.open(bundles("shortcut_v2v-shortcut").root, context)
    stream = CppStream(library, handle, options=OPTIONS)
    snapshot = stream.snapshot()
    for value in (1, 2, 3, 27):  # refresh, which is late in every third step, fails on what 27 becomes
        stream.push(np.full((2, 4, 3), value, np.uint8))
    told.clear()
    getattr(stream, forget)(*([snapshot] if forget == "restore" else []))
    ((level, words),) = told
    assert level == 1
    assert words.startswith("[V2V-E3024] the late calls of phase 'stream', step 2, failed: [V2V-E3020]")
    if forget != "close":
        assert stream.counters()["failed"] == 1
        stream.push(np.full((2, 4, 3), 1, np.uint8))
        stream.close()
    assert len(told) == 1
    for kind, made in (("snapshot", snapshot), ("bundle", handle), ("context", context)):
        assert library.destroy(kind, made) == 0


def test_words_are_told_to_the_logger(library: Library, bundles, tmp_path: Path) -> None:
    """What was done once, and each failed call, with the words that the error has."""
    told: list[tuple[int, str]] = []
    log = LOG(lambda _, level, words: told.append((level, words.decode())))
    options, context = ContextOptions(log=log), c.c_void_p()
    library.call("context_create", c.byref(options), c.byref(context))
    root = bundles("std").root
    handle = library.open(root, context)
    with pytest.raises(CppError, match="V2V-E4015") as caught:
        CppStream(library, handle, variant="none")
    assert [level for level, _ in told] == [2, 0]
    assert str(root) in told[0][1]
    assert told[1][1] == str(caught.value)
    assert library.destroy("context", context) == 0
    CppStream(library, handle, options=OPTIONS).close()  # the bundle keeps what it needs of its context
    assert (told[2][0], str(root) in told[2][1], len(told)) == (2, True, 3)
    library.destroy("bundle", handle)

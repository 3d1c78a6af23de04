"""The C++ runtime's C ABI by ctypes: the structs of ``v2v.h``, and a stream that looks like Python's."""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

TIMESTAMP_COUNT = -(2**63)
_DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
DTYPES = {name: code for code, name in enumerate((*_DTYPES, "float16", "float32", "float64"))}


class Struct(c.Structure):
    """A struct of the ABI, which knows its size."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(c.sizeof(type(self)), *args, **fields)


class Error(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("code", c.c_int32), ("message", c.c_char * 2040)]


class BundleInfo(Struct):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("target_count", c.c_uint32),
        ("input_width", c.c_int32),
        ("input_height", c.c_int32),
        ("output_width", c.c_int32),
        ("output_height", c.c_int32),
        ("max_frames", c.c_int32),
        ("reserved", c.c_int32),
        ("identity", c.c_char * 72),
        ("name", c.c_char * 520),
    ]


ALLOCATE = c.CFUNCTYPE(c.c_void_p, c.c_void_p, c.c_size_t, c.c_size_t)
RELEASE = c.CFUNCTYPE(None, c.c_void_p, c.c_void_p, c.c_size_t, c.c_size_t)
LOG = c.CFUNCTYPE(None, c.c_void_p, c.c_int, c.c_char_p)
TRACE = c.CFUNCTYPE(None, c.c_void_p, c.c_char_p)


class ContextOptions(Struct):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("allocate", ALLOCATE),
        ("release", RELEASE),
        ("allocator_user", c.c_void_p),
        ("log", LOG),
        ("log_user", c.c_void_p),
    ]


class StreamOptions(Struct):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("flags", c.c_uint32),
        ("target", c.c_char_p),
        ("variant", c.c_char_p),
        ("options", c.c_char_p),
        ("trace", TRACE),
        ("trace_user", c.c_void_p),
    ]


class Frame(Struct):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("format", c.c_uint32),
        ("memory", c.c_uint32),
        ("flags", c.c_uint32),
        ("width", c.c_int32),
        ("height", c.c_int32),
        ("data", c.c_void_p),
        ("row_stride", c.c_int64),
        ("timestamp", c.c_int64),
        ("index", c.c_int64),
    ]


class Param(Struct):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("dtype", c.c_uint32),
        ("name", c.c_char_p),
        ("data", c.c_void_p),
        ("shape", c.POINTER(c.c_int64)),
        ("rank", c.c_uint64),
    ]


class SelfTest(Struct):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("passed", c.c_uint32),
        ("frames", c.c_int64),
        ("expected", c.c_int64),
        ("max_difference", c.c_int64),
        ("worst_frame", c.c_int64),
        ("tolerance", c.c_int64),
    ]


COUNTERS = (
    *("frames_in", "frames_out", "dropped", "steps", "skipped", "failed", "calls", "host_syncs", "copies"),
    *(
        "copied_bytes",
        "uploads",
        "uploaded_bytes",
        "downloads",
        "downloaded_bytes",
        "allocations",
        "bindings",
    ),
)


class Counters(Struct):
    _fields_ = [("struct_size", c.c_uint32), ("reserved", c.c_uint32), *((n, c.c_int64) for n in COUNTERS)]


class Timing(Struct):
    _fields_ = [
        ("struct_size", c.c_uint32),
        ("reserved", c.c_uint32),
        ("runs", c.c_int64),
        ("total_ns", c.c_int64),
        ("last_ns", c.c_int64),
        ("call", c.c_char * 136),
    ]


#: name -> argument types before the error; every one gives a status.
FUNCTIONS: Mapping[str, Sequence[Any]] = {
    "context_create": (c.POINTER(ContextOptions), c.POINTER(c.c_void_p)),
    "bundle_open": (c.c_void_p, c.c_char_p, c.c_uint32, c.POINTER(c.c_void_p)),
    "bundle_get_info": (c.c_void_p, c.POINTER(BundleInfo)),
    "bundle_target_name": (c.c_void_p, c.c_uint32, c.c_char_p, c.c_size_t),
    "stream_create": (c.c_void_p, c.POINTER(StreamOptions), c.POINTER(c.c_void_p)),
    "stream_submit": (c.c_void_p, c.POINTER(Frame)),
    "stream_collect": (c.c_void_p, c.POINTER(Frame), c.c_size_t, c.POINTER(c.c_size_t)),
    "stream_push": (c.c_void_p, c.POINTER(Frame), c.POINTER(Frame), c.c_size_t, c.POINTER(c.c_size_t)),
    "stream_get_owed": (c.c_void_p, c.POINTER(c.c_size_t)),
    "stream_flush": (c.c_void_p, c.POINTER(Frame), c.c_size_t, c.POINTER(c.c_size_t)),
    "stream_set_params": (c.c_void_p, c.POINTER(Param), c.c_size_t),
    "stream_enter": (c.c_void_p, c.c_char_p),
    "stream_reset": (c.c_void_p, c.c_uint32),
    "stream_snapshot": (c.c_void_p, c.POINTER(c.c_void_p)),
    "stream_restore": (c.c_void_p, c.c_void_p),
    "stream_selftest": (c.c_void_p, c.POINTER(SelfTest)),
    "stream_get_counters": (c.c_void_p, c.POINTER(Counters)),
    "stream_get_timings": (c.c_void_p, c.POINTER(Timing), c.c_size_t, c.POINTER(c.c_size_t)),
}
DESTROYERS = ("context_destroy", "bundle_destroy", "stream_destroy", "snapshot_destroy")


class CppError(Exception):
    """A call that gave no V2V_OK."""

    def __init__(self, status: int, message: str) -> None:
        self.code = f"V2V-E{status}"
        super().__init__(message)


class Library:
    """The shared library's functions by name, without ``v2v_``."""

    def __init__(self, path: Path) -> None:
        self.functions = c.CDLL(str(path))
        for name, arguments in FUNCTIONS.items():
            getattr(self.functions, f"v2v_{name}").argtypes = [*arguments, c.POINTER(Error)]
        for name in DESTROYERS:
            getattr(self.functions, f"v2v_{name}").argtypes = [c.c_void_p]

    def call(self, name: str, *arguments: Any) -> None:
        """Raises CppError for a status that is not V2V_OK."""
        error = Error()
        status = getattr(self.functions, f"v2v_{name}")(*arguments, c.byref(error))
        assert status == error.code
        if status:
            raise CppError(status, error.message.decode())

    def destroy(self, kind: str, handle: Any) -> int:
        status: int = getattr(self.functions, f"v2v_{kind}_destroy")(handle)
        return status

    def open(self, path: Path, context: Any = None, flags: int = 0) -> c.c_void_p:
        bundle = c.c_void_p()
        self.call("bundle_open", context, str(path).encode(), flags, c.byref(bundle))
        return bundle


@dataclass
class Shown:
    """One frame that a stream handed over."""

    rgb8: NDArray[np.uint8]
    timestamp: int
    index: int
    skipped: bool


def frame_of(array: NDArray[Any], timestamp: int | None = None, **fields: Any) -> Frame:
    """A frame over an array [H, W, 3] whose rows may be padded."""
    stamp = TIMESTAMP_COUNT if timestamp is None else timestamp
    height, width = array.shape[:2]
    made = Frame(0, 0, 0, width, height, array.ctypes.data, array.strides[0], stamp, 0)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class CppStream:
    """A stream over the C ABI with the methods of ``v2v_runtime.Stream`` that tests use."""

    def __init__(self, library: Library, bundle: Any, flags: int = 0, **texts: str) -> None:
        self.library = library
        self.events: list[str] = []
        self._trace = TRACE(lambda _, event: self.events.append(event.decode()))
        encoded = {name: text.encode() for name, text in texts.items()}
        options = StreamOptions(flags, trace=self._trace, **encoded)
        self.handle = c.c_void_p()
        library.call("stream_create", bundle, c.byref(options), c.byref(self.handle))
        self.info = BundleInfo()
        library.call("bundle_get_info", bundle, c.byref(self.info))

    def push(self, frame: NDArray[Any], timestamp: int | None = None) -> list[Shown]:
        given = frame_of(frame, timestamp)
        return self._take("stream_push", self.info.max_frames, c.byref(given))

    def submit(self, frame: NDArray[Any], timestamp: int | None = None) -> None:
        self.library.call("stream_submit", self.handle, c.byref(frame_of(frame, timestamp)))

    def collect(self) -> list[Shown]:
        return self._take("stream_collect", self.info.max_frames)

    def owed(self) -> int:
        owed = c.c_size_t()
        self.library.call("stream_get_owed", self.handle, c.byref(owed))
        return owed.value

    def flush(self) -> list[Shown]:
        return self._take("stream_flush", self.owed())

    def runs(self) -> dict[str, int]:
        """``phase/call`` -> how often it ran, of those that were timed."""
        count = c.c_size_t()
        self.library.call("stream_get_timings", self.handle, None, 0, c.byref(count))
        timings = (Timing * max(1, count.value))(*(Timing() for _ in range(max(1, count.value))))
        self.library.call("stream_get_timings", self.handle, timings, count.value, c.byref(count))
        return {each.call.decode(): each.runs for each in timings[: count.value]}

    def enter(self, phase: str) -> None:
        self.library.call("stream_enter", self.handle, phase.encode())

    def reset(self, params: bool = False) -> None:
        self.library.call("stream_reset", self.handle, int(params))

    def set_params(self, values: Mapping[str, NDArray[Any]]) -> None:
        kept = []
        params = (Param * max(1, len(values)))()
        for place, (name, value) in enumerate(values.items()):
            shape = (c.c_int64 * value.ndim)(*value.shape)
            kept.append((value, shape))
            code = DTYPES[value.dtype.name]
            params[place] = Param(code, name.encode(), value.ctypes.data, shape, value.ndim)
        self.library.call("stream_set_params", self.handle, params, len(values))

    def snapshot(self) -> c.c_void_p:
        made = c.c_void_p()
        self.library.call("stream_snapshot", self.handle, c.byref(made))
        return made

    def restore(self, snapshot: c.c_void_p) -> None:
        self.library.call("stream_restore", self.handle, snapshot)

    def selftest(self) -> SelfTest:
        report = SelfTest()
        self.library.call("stream_selftest", self.handle, c.byref(report))
        return report

    def counters(self) -> dict[str, int]:
        found = Counters()
        self.library.call("stream_get_counters", self.handle, c.byref(found))
        return {name: getattr(found, name) for name in COUNTERS}

    def close(self) -> None:
        assert self.library.destroy("stream", self.handle) == 0

    def _take(self, name: str, room: int, *before: Any) -> list[Shown]:
        height, width = self.info.output_height, self.info.output_width
        pixels = np.zeros((max(1, room), height, width, 3), np.uint8)
        frames = (Frame * max(1, room))(*(frame_of(each) for each in pixels))
        count = c.c_size_t()
        self.library.call(name, self.handle, *before, frames, room, c.byref(count))
        return [
            Shown(pixels[i], frames[i].timestamp, frames[i].index, bool(frames[i].flags & 1))
            for i in range(count.value)
        ]


def refused(call: Callable[[], Any]) -> str:
    """The code that a call is refused with, which its words begin with."""
    with pytest.raises(CppError) as caught:
        call()
    assert str(caught.value).startswith(f"[{caught.value.code}] ")
    return caught.value.code

"""Programs over Python functions: one-pixel frames, graphs in a line, any failure at any moment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from support.bundles import make_manifest
from v2v_runtime.backends.callables import CallableBackend
from v2v_runtime.bundle_writer import sealed_manifest
from v2v_runtime.manifest.model import (
    BlobRef,
    CallOverride,
    Const,
    DType,
    FileEntry,
    FrameSpec,
    Graph,
    Limits,
    Param,
    Phase,
    Program,
    Slot,
    TensorSpec,
)
from v2v_runtime.stream import Stream
from v2v_runtime.testing import MemoryBundle

Values = Mapping[str, NDArray[Any]]
BLOBS = "blobs/tables.safetensors"
_NUMPY: Mapping[str, DType] = {"f": "float", "u8": "uint8", "i32": "int32", "i64": "int64", "b": "bool"}


def spec(text: str) -> TensorSpec:
    """``f[2,3]``, ``u8[1,1,1,3]``, ``i64`` (shape [1]); ``frame`` and ``frames4`` are one-pixel frames."""
    frames = re.fullmatch(r"frames?(\d*)", text)
    if frames:
        return TensorSpec("uint8", (int(frames[1] or 1), 1, 1, 3))
    match = re.fullmatch(r"(\w+?)(?:\[([\d,]+)\])?", text)
    assert match is not None, text
    shape = tuple(map(int, match[2].split(","))) if match[2] else (1,)
    return TensorSpec(_NUMPY[match[1]], shape)


def ports(text: str) -> dict[str, TensorSpec]:
    """``x:frame s:f[2]`` as ports."""
    return {name: spec(kind) for name, kind in (part.split(":") for part in text.split())}


def pixel(value: int) -> NDArray[np.uint8]:
    """A frame uint8 [1, 1, 3] of one value."""
    return np.full((1, 1, 3), value, np.uint8)


def picture(value: Any) -> NDArray[np.uint8]:
    """A number as a frame tensor uint8 [1, 1, 1, 3], modulo 256."""
    return np.full((1, 1, 1, 3), int(np.asarray(value).reshape(-1)[0]) % 256, np.uint8)


def flat(value: Any, dtype: Any = np.float32) -> NDArray[Any]:
    """A number as a tensor of shape [1]."""
    return np.array([np.asarray(value).reshape(-1)[0]], dtype)


@dataclass
class Toy:
    """A program over functions, played on demand.

    Attributes:
        graphs: name -> (input ports, output ports, function).
        calls: graph runs in order, as ``Stream`` makes them.
        resident_phase: graphs that are loaded with their phase.
        valid: have the manifest's validator accept it (a few tests play what it refuses).
    """

    graphs: Mapping[str, tuple[str, str, Callable[[Values], Values]]]
    phases: Sequence[Phase]
    slots: Mapping[str, Slot] = field(default_factory=dict)
    params: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    limits: Mapping[str, Limits] = field(default_factory=dict)
    consts: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    blobs: Mapping[str, Any] = field(default_factory=dict)
    max_frames: int = 1
    float: Literal["float16", "float32"] = "float32"
    resident_phase: frozenset[str] = frozenset()
    overrides: Mapping[str, CallOverride] = field(default_factory=dict)
    valid: bool = True
    selftest: Any = None
    alignment: int = 1
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        frame = FrameSpec(1, 1)
        tables = {name: np.asarray(value) for name, value in self.blobs.items()}
        for name, (_, value) in {**self.params, **self.consts}.items():
            tables[name] = np.asarray(value)
        program = Program(
            inputs={"video": frame},
            outputs={"shown": frame},
            phases=tuple(self.phases),
            max_frames=self.max_frames,
            slots=self.slots,
            params={
                name: Param(spec(kind).dtype, spec(kind).shape, BlobRef(BLOBS, name), self.limits.get(name))
                for name, (kind, _) in self.params.items()
            },
            consts={
                name: Const(spec(kind).dtype, spec(kind).shape, BlobRef(BLOBS, name))
                for name, (kind, _) in self.consts.items()
            },
        )
        graphs = {
            name: Graph(ports(given), ports(made), "phase" if name in self.resident_phase else "always")
            for name, (given, made, _) in self.graphs.items()
        }
        manifest = make_manifest(
            program, graphs, float_type=self.float, calls=self.overrides, selftest=self.selftest
        )
        if self.valid:
            paths = [f"graphs/{name}.onnx" for name in graphs] + ([BLOBS] if tables else [])
            manifest = sealed_manifest(manifest, [FileEntry(path, 1, "0" * 64) for path in paths])
        self.bundle = MemoryBundle(manifest, {BLOBS: tables})
        self.backend = CallableBackend({name: self._logged(name) for name in graphs}, self.alignment)

    def stream(self, **options: Any) -> Stream:
        """A stream with engines of its own."""
        return Stream(self.bundle, backend=self.backend, **options)

    def _logged(self, name: str) -> Callable[[Values], Values]:
        def run(given: Values) -> Values:
            self.calls.append(name)
            return self.graphs[name][2](given)

        return run


def values(frames: Sequence[Any]) -> list[int]:
    """The one value of each frame handed over."""
    return [int(frame.rgb8[0, 0, 0]) for frame in frames]


def shown(stream: Stream, *pushed: int) -> list[int]:
    """Pushes frames of these values; the values of all that is handed over."""
    return [value for each in pushed for value in values(stream.push(pixel(each)))]

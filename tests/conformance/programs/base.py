"""What the synthetic programs share: how one is written down, and the bookkeeping of its simulation.

A synthetic program has the structure of a real system and toy tensors of small integers, so that every value
is exact in float32 and float16 is not needed. Its graphs are ONNX in text form. What it must put out is
computed by a simulation: plain Python over integers, written from the algorithm and not from the program.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx.parser
from numpy.typing import NDArray
from support.bundles import make_bundle, make_manifest
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import CallOverride, DType, Graph, Program, TensorSpec, Variant

HEIGHT, WIDTH = 2, 4
PIXELS = HEIGHT * WIDTH * 3
MODULUS = 251

#: A frame whose first value is this makes a NaN in every encoder of these programs.
BAD = 255

Frame = NDArray[np.uint8]
_TYPES: Mapping[int, DType] = {1: "float", 2: "uint8", 6: "int32", 7: "int64", 9: "bool", 10: "float16"}


@dataclass(frozen=True)
class Synthetic:
    """A program with everything that a bundle of it needs.

    Attributes:
        models: graph -> ONNX text, ``name (inputs) => (outputs) {...}``; a free axis 0 is written ``N``.
        rows: graph -> the largest ``N``.
        resident_phase: graphs that are loaded with their phase.
        overrides: what the second variant, ``in-place``, changes; there is none where this is empty.
        simulate: makes the simulation at its start.
    """

    name: str
    program: Program
    models: Mapping[str, str]
    simulate: Callable[[], Simulation]
    blobs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    resident_phase: frozenset[str] = frozenset()
    overrides: Mapping[str, CallOverride] = field(default_factory=dict)

    def onnx(self) -> dict[str, bytes]:
        """graph -> the ONNX file."""
        return {name: parse(text).SerializeToString() for name, text in self.models.items()}

    def graphs(self) -> dict[str, Graph]:
        """Ports as the ONNX text declares them."""
        return {name: self._graph(name, text) for name, text in self.models.items()}

    def write(self, folder: Path) -> Bundle:
        """A bundle of it on disk, validated and opened."""
        graphs = self.graphs()
        files = {name: f"graphs/{name}.onnx" for name in graphs}
        variants = {"main": Variant("float32", files)}
        if self.overrides:
            variants["in-place"] = Variant("float32", files, self.overrides)
        blobs = {"blobs/tables.safetensors": dict(self.blobs)} if self.blobs else {}
        manifest = make_manifest(self.program, graphs, variants=variants)
        return make_bundle(folder, manifest, self.onnx(), blobs)

    def _graph(self, name: str, text: str) -> Graph:
        graph = parse(text).graph

        def ports(values: Any) -> dict[str, TensorSpec]:
            found = {}
            for value in values:
                tensor = value.type.tensor_type
                shape = tuple(d.dim_value or self.rows[name] for d in tensor.shape.dim)
                found[value.name] = TensorSpec(_TYPES[tensor.elem_type], shape)
            return found

        resident: Literal["always", "phase"] = "phase" if name in self.resident_phase else "always"
        return Graph(ports(graph.input), ports(graph.output), resident)


def parse(text: str) -> onnx.ModelProto:
    """ONNX text without its header as a model."""
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18]>\n{text}')
    onnx.checker.check_model(model, full_check=True)
    return model


class StepError(Exception):
    """The algorithm met a number that is not finite; nothing of the step counts."""


class LateError(Exception):
    """The late part of the step before met one."""


class EndedError(Exception):
    """The stream was flushed."""


class UnwrittenError(Exception):
    """The phase that is to be entered needs what an earlier one has not made yet."""


class Simulation(ABC):
    """Plays an algorithm frame by frame. ``step`` is the algorithm; the rest keeps frames and timestamps.

    A subclass keeps its own state in attributes. ``copy.deepcopy`` of a simulation is its snapshot.
    """

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.staged: list[Frame] = []
        self.last_done: Frame | None = None
        self.late_failed = False
        self.ended = False
        self.flushing = False

    @abstractmethod
    def gather(self) -> int:
        """How many frames the next step takes."""

    @abstractmethod
    def step(self, frames: list[Frame]) -> list[Frame]:
        """Takes the frames of one step; gives what is handed over, dropped frames left out."""

    def owed_at(self, phase: str) -> int:
        """How many frames are inside the pipeline whenever ``phase`` begins."""
        return 0

    def lacks(self, phase: str) -> bool:
        """Whether ``phase`` needs what an earlier one has not made since the start."""
        return False

    def go_to(self, phase: str) -> None:
        """Begins ``phase`` anew."""
        raise NotImplementedError

    def push(self, frame: Frame, timestamp: Any) -> list[tuple[Frame, Any]]:
        self.settle()
        if self.ended:
            raise EndedError
        self.waiting.append(timestamp)
        taken = len(self.staged) + 1
        try:
            return self._feed(frame)
        except StepError:
            del self.waiting[len(self.waiting) - taken :]
            raise

    def flush(self) -> list[tuple[Frame, Any]]:
        self.settle()
        out: list[tuple[Frame, Any]] = []
        self.flushing = True
        try:
            while self.waiting and not self.ended:
                last = self.staged[-1] if self.staged else self.last_done
                assert last is not None
                out += self._feed(last)
                self.settle()
        finally:
            self.flushing = False
        self.ended = True
        return out

    def enter(self, phase: str) -> None:
        self.settle()
        if self.ended:
            raise EndedError
        if self.lacks(phase):
            raise UnwrittenError
        keep = self.owed_at(phase) + len(self.staged)
        self.waiting = self.waiting[len(self.waiting) - min(keep, len(self.waiting)) :]
        self.go_to(phase)

    def settle(self) -> None:
        failed, self.late_failed = self.late_failed, False
        if failed:
            raise LateError

    def _feed(self, frame: Frame) -> list[tuple[Frame, Any]]:
        self.staged.append(frame)
        if len(self.staged) < self.gather():
            return []
        frames, self.staged = self.staged, []
        before = copy.deepcopy({key: value for key, value in vars(self).items() if key != "waiting"})
        try:
            pictures = self.step(frames)
        except StepError:
            vars(self).update(before)
            raise
        self.last_done = frame
        return [(picture, self.waiting.pop(0)) for picture in pictures[: len(self.waiting)]]


def modulo(value: Any) -> NDArray[np.int64]:
    return np.asarray(value, np.int64) % MODULUS


def pixels(frame: Frame) -> NDArray[np.int64]:
    """A frame as a flat vector; a frame that makes a NaN fails the step."""
    if frame.flat[0] == BAD:
        raise StepError
    return frame.astype(np.int64).reshape(-1)


def picture(values: NDArray[np.int64]) -> Frame:
    """A flat vector as a frame."""
    return (values % 256).astype(np.uint8).reshape(HEIGHT, WIDTH, 3)

"""What the machine needs of a backend: memory, engines, and runs that are bound beforehand.

A backend is one module named in ``backends.BACKENDS`` with a function ``open_backend(options)``. Tensors are
caller-owned: the machine allocates every one of them when a stream is made, binds them once per set of
physical buffers, and then only runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Addresses that engines see are multiples of this (TensorRT asks for it; cudaMalloc gives it).
ALIGNMENT = 256


class Tensor(ABC):
    """A contiguous tensor of static shape in a backend's memory.

    Attributes:
        dtype: numpy type.
        shape: at least one axis.
        address: of its first byte, in the backend's memory.
    """

    __slots__ = ("address", "dtype", "shape")

    def __init__(self, dtype: np.dtype[Any], shape: tuple[int, ...], address: int) -> None:
        self.dtype = dtype
        self.shape = shape
        self.address = address

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    @abstractmethod
    def view(self, start: int, length: int) -> Tensor:
        """``length`` entries along axis 0 from ``start``; shares this tensor's memory and keeps it alive."""

    @abstractmethod
    def write(self, array: Array) -> None:
        """Copies a host array of the same type and shape (any strides) in."""

    @abstractmethod
    def read(self, out: Array | None = None) -> Array:
        """Waits for what was queued before, then copies to ``out`` (same type, shape) or a new array."""

    @abstractmethod
    def copy_from(self, other: Tensor) -> None:
        """Copies a tensor of the same memory, type and shape; ordered after the runs queued before."""

    @abstractmethod
    def zero(self) -> None:
        """Sets every byte to zero; ordered like ``copy_from``."""


class Memory(Protocol):
    """Allocates tensors on one device.

    Attributes:
        alignment: what the address of a tensor that a graph reads or writes must be a multiple of. A view
            that lies elsewhere is copied by the machine. 1: anything goes.
    """

    alignment: int

    def allocate(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Tensor:
        """A new tensor, all zero, at an address that is a multiple of ``ALIGNMENT``.

        Raises:
            BackendError: V2V-E4013 when there is not enough memory.
        """

    def scalars(self, dtype: np.dtype[Any], count: int) -> Scalars:
        """``count`` tensors of shape [1] that cross between host and device in one transfer."""


class Scalars(ABC):
    """A row of tensors of shape [1], each aligned, that are read or written together.

    Attributes:
        tensors: one tensor of shape [1] per scalar.
        nbytes: payload of one transfer, in bytes (padding left out).
    """

    __slots__ = ("nbytes", "tensors")

    tensors: tuple[Tensor, ...]
    nbytes: int

    @abstractmethod
    def write(self, values: Array) -> None:
        """Sets all of them from a host array [count]."""

    @abstractmethod
    def read(self) -> Array:
        """Waits for what was queued before; returns a host array [count] that the next ``read`` may reuse."""


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a graph in the variant that is played.

    Attributes:
        name: as in the ONNX file.
        dtype: concrete numpy type.
        shape: static; axis 0 is the largest bucket where ``rows`` is true.
        rows: axis 0 changes from run to run.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    rows: bool = False


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What a backend gets to load one graph.

    Attributes:
        graph: its name in the manifest.
        onnx: path of its ONNX file; None for a backend that has other means (tests).
        engine: reads its engine's bytes, hashed as they are read, if the target has one.
        inputs, outputs: every port, in the manifest's order.
        buckets: the row counts that ports with ``rows`` are run with; empty when no call uses rows.
    """

    graph: str
    onnx: Path | None
    engine: Callable[[], bytes] | None
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    buckets: tuple[int, ...] = ()


class Run(Protocol):
    """One graph bound to fixed tensors. Calling it queues or does the work.

    Two runs of one engine are never called at the same time by one stream; different streams may.

    Raises:
        BackendError: V2V-E4007.
    """

    def __call__(self) -> None: ...


class Engine(Protocol):
    """One loaded graph, shared by every stream of a session. Thread-safe."""

    def bind(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Run:
        """Binds every input port and some output ports; outputs that are left out are thrown away.

        The tensors' types and shapes fit the ports: the machine sees to it. The run keeps them alive.
        """

    def close(self) -> None:
        """Frees it; runs that were bound must not be called any more."""


class Backend(Protocol):
    """An opened backend: one device, one set of options.

    Attributes:
        name: as in ``backends.BACKENDS``.
        memory: where the stream's tensors live.
    """

    name: str
    memory: Memory

    def load(self, spec: EngineSpec) -> Engine:
        """Loads one graph; several threads may load at once, each graph once.

        Raises:
            BackendError: the file is missing or refused (V2V-E4005, E4006), or its ports differ from the
                manifest's (V2V-E4008).
        """

    def close(self) -> None:
        """Frees what the backend holds, after every engine and tensor is gone."""

"""Tensors in the process's own memory, over numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from v2v_runtime.backends.base import ALIGNMENT, Array, Scalars, Tensor
from v2v_runtime.errors import BackendError


class HostTensor(Tensor):
    """A tensor over a C-contiguous numpy array.

    Attributes:
        array: the values; it shares memory with the tensor.
    """

    __slots__ = ("array",)

    def __init__(self, array: Array) -> None:
        super().__init__(array.dtype, array.shape, array.ctypes.data)
        self.array = array

    def view(self, start: int, length: int) -> HostTensor:
        return HostTensor(self.array[start : start + length])

    def write(self, array: Array) -> None:
        np.copyto(self.array, array, casting="no")

    def read(self, out: Array | None = None) -> Array:
        if out is None:
            return self.array.copy()
        np.copyto(out, self.array, casting="no")
        return out

    def copy_from(self, other: Tensor) -> None:
        assert isinstance(other, HostTensor)
        np.copyto(self.array, other.array, casting="no")

    def zero(self) -> None:
        self.array.fill(0)


class HostScalars(Scalars):
    """Scalars over one padded numpy array [count, ALIGNMENT / itemsize]."""

    __slots__ = ("_column",)

    def __init__(self, padded: Array) -> None:
        self._column = padded[:, 0]
        self.tensors = tuple(HostTensor(row[:1]) for row in padded)
        self.nbytes = len(padded) * padded.itemsize

    def write(self, values: Array) -> None:
        self._column[:] = values

    def read(self) -> Array:
        return self._column


class HostMemory:
    """Allocates aligned numpy arrays.

    Attributes:
        alignment: see ``Memory``; graphs on a CPU read anywhere.
    """

    def __init__(self, alignment: int = 1) -> None:
        self.alignment = alignment

    def allocate(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> HostTensor:
        return HostTensor(_aligned(dtype, shape))

    def scalars(self, dtype: np.dtype[Any], count: int) -> HostScalars:
        return HostScalars(_aligned(dtype, (count, ALIGNMENT // dtype.itemsize)))


def _aligned(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    try:
        raw = np.zeros(nbytes + ALIGNMENT, np.uint8)
    except MemoryError as error:
        what = f"no memory for {nbytes} bytes: a tensor {dtype} {list(shape)}"
        raise BackendError("V2V-E4013", what) from error
    offset = -raw.ctypes.data % ALIGNMENT
    return raw[offset : offset + nbytes].view(dtype).reshape(shape)

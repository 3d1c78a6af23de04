"""Device memory, pinned staging and one stream, over the CUDA runtime library alone (no torch).

Built, not run on a GPU: no machine of this project's tests has one. What does not need one (addresses, views,
the order of copies and waits) is tested against a stand-in library that puts every copy off until the stream
is waited for.

Everything is queued on one stream, in order. A block of memory that crosses between host and device more than
once gets a pinned twin, through which it then crosses; the twin is written again only after a wait has passed
the copy before, so that uploads hardly ever wait.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from collections.abc import Sequence
from ctypes import byref, c_int, c_size_t, c_void_p
from math import prod
from typing import Any, Self

import numpy as np

from v2v_runtime.backends.base import ALIGNMENT, Array, Scalars, Tensor
from v2v_runtime.errors import BackendError

#: Newest first; the one that the process has loaded already wins.
LIBRARIES = ("libcudart.so.13", "libcudart.so.12", "cudart64_13.dll", "cudart64_12.dll")

_HOST_TO_DEVICE, _DEVICE_TO_HOST, _DEVICE_TO_DEVICE = 1, 2, 3
_OUT_OF_MEMORY = 2
_NON_BLOCKING = 1


class CudaRuntime:
    """One device's stream and the few calls that tensors need.

    Attributes:
        stream: the stream's handle, for engines.
        queued: number of waits begun so far. A copy that was queued when it stood at n has been passed once
            ``passed`` is above n, whichever thread waited.
        passed: the highest number of a wait that has ended.
    """

    def __init__(self, library: Any, device: int) -> None:
        self._library = library
        self._device = device
        self._lock = threading.Lock()
        self.queued = 0
        self.passed = 0
        library.cudaGetErrorString.restype = ctypes.c_char_p
        self.call("cudaSetDevice", c_int(device))
        handle = c_void_p()
        self.call("cudaStreamCreateWithFlags", byref(handle), c_int(_NON_BLOCKING))
        self.stream: int = handle.value or 0

    @classmethod
    def open(cls, device: int, libraries: Sequence[str] = LIBRARIES) -> Self:
        """Loads the library and opens a device.

        Raises:
            BackendError: no library (V2V-E4011); the driver or the device refuses (V2V-E4012).
        """
        for name in libraries:
            try:
                return cls(ctypes.CDLL(name), device)
            except OSError:
                continue
        raise BackendError(
            "V2V-E4011",
            f"none of {', '.join(libraries)} can be loaded",
            "the CUDA runtime library",
            "pip install nvidia-cuda-runtime, or add CUDA's lib folder to the library path",
        )

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a function of the library on this device; raises BackendError V2V-E4012 or E4013."""
        status = getattr(self._library, name)(*arguments)
        if status:
            text = (self._library.cudaGetErrorString(c_int(status)) or b"").decode()
            code = "V2V-E4013" if status == _OUT_OF_MEMORY else "V2V-E4012"
            raise BackendError(code, f"{name} failed: {text} ({status})")

    def select(self) -> None:
        """Makes the device current on the calling thread (late calls have a thread of their own)."""
        self.call("cudaSetDevice", c_int(self._device))

    def allocate(self, nbytes: int) -> int:
        """Device memory, all zero."""
        self.select()
        address = c_void_p()
        self.call("cudaMalloc", byref(address), c_size_t(nbytes))
        self.zero(address.value or 0, nbytes)
        return address.value or 0

    def free(self, address: int) -> None:
        self._library.cudaFree(c_void_p(address))

    def pinned(self, nbytes: int) -> int:
        """Host memory that copies can run from without a stop."""
        address = c_void_p()
        self.call("cudaMallocHost", byref(address), c_size_t(nbytes))
        return address.value or 0

    def free_pinned(self, address: int) -> None:
        self._library.cudaFreeHost(c_void_p(address))

    def zero(self, address: int, nbytes: int) -> None:
        self.select()
        self.call("cudaMemsetAsync", c_void_p(address), c_int(0), c_size_t(nbytes), c_void_p(self.stream))

    def upload(self, target: int, source: int, nbytes: int) -> None:
        self._copy(target, source, nbytes, _HOST_TO_DEVICE)

    def download(self, target: int, source: int, nbytes: int) -> None:
        self._copy(target, source, nbytes, _DEVICE_TO_HOST)

    def move(self, target: int, source: int, nbytes: int) -> None:
        self._copy(target, source, nbytes, _DEVICE_TO_DEVICE)

    def wait(self) -> None:
        """Returns when everything queued so far is done."""
        with self._lock:
            self.queued += 1
            number = self.queued
        self.select()
        self.call("cudaStreamSynchronize", c_void_p(self.stream))
        with self._lock:
            self.passed = max(self.passed, number)

    def close(self) -> None:
        self._library.cudaStreamDestroy(c_void_p(self.stream))

    def _copy(self, target: int, source: int, nbytes: int, kind: int) -> None:
        self.select()
        self.call(
            "cudaMemcpyAsync",
            c_void_p(target),
            c_void_p(source),
            c_size_t(nbytes),
            c_int(kind),
            c_void_p(self.stream),
        )


class _Block:
    """One allocation, freed with the last tensor over it."""

    def __init__(self, cuda: CudaRuntime, nbytes: int) -> None:
        self.cuda = cuda
        self.nbytes = nbytes
        self.address = cuda.allocate(max(nbytes, 1))
        self._crossings = 0
        self._twin: Array | None = None
        self._uploaded = -1
        weakref.finalize(self, cuda.free, self.address)

    def upload(self, offset: int, array: Array) -> None:
        """Queues a copy of the array's bytes to ``offset``."""
        cuda, target = self.cuda, self.address + offset
        twin = self._pinned()
        if twin is None:
            packed = np.ascontiguousarray(array)
            cuda.upload(target, packed.ctypes.data, packed.nbytes)
            cuda.wait()
            return
        if cuda.passed <= self._uploaded:
            cuda.wait()
        part = _as(twin, offset, array.dtype, array.shape)
        np.copyto(part, array, casting="no")
        cuda.upload(target, part.ctypes.data, part.nbytes)
        self._uploaded = cuda.queued

    def download(self, offset: int, out: Array) -> None:
        """Waits, and fills ``out`` with the bytes at ``offset``."""
        cuda, source = self.cuda, self.address + offset
        twin = self._pinned()
        if twin is None:
            packed = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
            cuda.download(packed.ctypes.data, source, packed.nbytes)
            cuda.wait()
            if packed is not out:
                np.copyto(out, packed)
            return
        part = _as(twin, offset, out.dtype, out.shape)
        cuda.download(part.ctypes.data, source, part.nbytes)
        cuda.wait()
        np.copyto(out, part)

    def _pinned(self) -> Array | None:
        """The pinned twin; None at the first crossing, which is the only one for constants."""
        self._crossings += 1
        if self._twin is None and self._crossings > 1:
            nbytes = max(self.nbytes, 1)
            address = self.cuda.pinned(nbytes)
            weakref.finalize(self, self.cuda.free_pinned, address)
            self._twin = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))
        return self._twin


def _as(raw: Array, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    nbytes = prod(shape) * dtype.itemsize
    return raw[offset : offset + nbytes].view(dtype).reshape(shape)


class CudaTensor(Tensor):
    """A tensor in device memory: a block, or a part of one."""

    __slots__ = ("_block", "_offset")

    def __init__(self, block: _Block, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        super().__init__(dtype, shape, block.address + offset)
        self._block = block
        self._offset = offset

    def view(self, start: int, length: int) -> CudaTensor:
        entry = prod(self.shape[1:]) * self.dtype.itemsize
        return CudaTensor(self._block, self._offset + start * entry, self.dtype, (length, *self.shape[1:]))

    def write(self, array: Array) -> None:
        self._block.upload(self._offset, array)

    def read(self, out: Array | None = None) -> Array:
        made = np.empty(self.shape, self.dtype) if out is None else out
        self._block.download(self._offset, made)
        return made

    def copy_from(self, other: Tensor) -> None:
        self._block.cuda.move(self.address, other.address, self.nbytes)

    def zero(self) -> None:
        self._block.cuda.zero(self.address, self.nbytes)


class CudaScalars(Scalars):
    """Scalars one per ``ALIGNMENT`` bytes of one block, which crosses as a whole."""

    __slots__ = ("_whole",)

    def __init__(self, cuda: CudaRuntime, dtype: np.dtype[Any], count: int) -> None:
        padded = (count, ALIGNMENT // dtype.itemsize)
        block = _Block(cuda, count * ALIGNMENT)
        self._whole = CudaTensor(block, 0, dtype, padded)
        self.tensors = tuple(CudaTensor(block, i * ALIGNMENT, dtype, (1,)) for i in range(count))
        self.nbytes = count * dtype.itemsize

    def write(self, values: Array) -> None:
        padded = np.zeros(self._whole.shape, self._whole.dtype)
        padded[:, 0] = values
        self._whole.write(padded)

    def read(self) -> Array:
        return self._whole.read()[:, 0]


class CudaMemory:
    """Allocates device memory on one device.

    Attributes:
        alignment: TensorRT asks for as much at every address that it is given.
    """

    def __init__(self, cuda: CudaRuntime) -> None:
        self.alignment = ALIGNMENT
        self._cuda = cuda

    def allocate(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> CudaTensor:
        return CudaTensor(_Block(self._cuda, prod(shape) * dtype.itemsize), 0, dtype, shape)

    def scalars(self, dtype: np.dtype[Any], count: int) -> CudaScalars:
        return CudaScalars(self._cuda, dtype, count)

"""What the NVIDIA driver says of this machine's GPUs, asked through the driver's own library alone."""

from __future__ import annotations

import ctypes
import sys
from ctypes import byref, c_int
from dataclasses import dataclass
from typing import Any

from v2v_runtime.errors import BackendError

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_MAJOR, _MINOR = 75, 76


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        name: as the driver calls it.
        capability: compute capability, such as ``8.9``.
        driver: the CUDA version that the driver speaks, as the driver writes it (13000 for 13.0).
    """

    name: str
    capability: str
    driver: int


def find_gpu(index: int, library: Any = None) -> Gpu:
    """The GPU of that index.

    Args:
        library: the driver's library; None: the installed one.

    Raises:
        BackendError: there is no driver, or no such GPU (V2V-E4402).
    """
    try:
        driver = ctypes.CDLL(_LIBRARY) if library is None else library
    except OSError as error:
        raise _none(f"there is no NVIDIA driver here ({error})") from None
    count, version = c_int(0), c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(byref(count)) or count.value == 0:
        raise _none("the NVIDIA driver finds no GPU")
    device, major, minor = c_int(0), c_int(0), c_int(0)
    name = ctypes.create_string_buffer(128)
    if (
        driver.cuDeviceGet(byref(device), c_int(index))
        or driver.cuDeviceGetName(name, c_int(len(name)), device)
        or driver.cuDeviceGetAttribute(byref(major), c_int(_MAJOR), device)
        or driver.cuDeviceGetAttribute(byref(minor), c_int(_MINOR), device)
        or driver.cuDriverGetVersion(byref(version))
    ):
        raise _none(f"the NVIDIA driver has no GPU {index}; it finds {count.value}")
    return Gpu(name.value.decode(errors="replace"), f"{major.value}.{minor.value}", version.value)


def _none(seen: str) -> BackendError:
    return BackendError(
        "V2V-E4402",
        seen,
        "the GPU that this target was built for",
        "play it on a machine with that GPU, or play the bundle's cpu target here",
    )

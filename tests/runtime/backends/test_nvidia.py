"""Which GPU there is, as the driver's library says it; against a stand-in for that library."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
from v2v_runtime.backends.nvidia import Gpu, find_gpu
from v2v_runtime.errors import BackendError


class Driver:
    """A stand-in for the driver's library with some GPUs."""

    def __init__(self, gpus: list[tuple[bytes, int, int]], status: int = 0) -> None:
        self.gpus, self.status = gpus, status

    def cuInit(self, flags: int) -> int:  # noqa: N802 - the library's own name
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.gpus)
        return 0

    def cuDeviceGet(self, device: Any, index: ctypes.c_int) -> int:  # noqa: N802
        device._obj.value = index.value
        return 0 if index.value < len(self.gpus) else 101

    def cuDeviceGetName(self, name: Any, length: Any, device: ctypes.c_int) -> int:  # noqa: N802
        name.value = self.gpus[device.value][0]
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: ctypes.c_int, device: ctypes.c_int) -> int:  # noqa: N802
        value._obj.value = self.gpus[device.value][which.value - 74]
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 13000
        return 0


def test_the_driver_tells_the_gpu() -> None:
    driver = Driver([(b"one", 8, 6), (b"two", 12, 0)])
    assert find_gpu(1, driver) == Gpu("two", "12.0", 13000)


@pytest.mark.parametrize("driver", [Driver([]), Driver([(b"one", 8, 6)], status=100)])
def test_no_gpu(driver: Driver) -> None:
    with pytest.raises(BackendError) as caught:
        find_gpu(0, driver)
    assert caught.value.code == "V2V-E4402"


def test_an_index_that_is_not_there() -> None:
    with pytest.raises(BackendError) as caught:
        find_gpu(3, Driver([(b"one", 8, 6)]))
    assert caught.value.code == "V2V-E4402"
    assert "GPU 3" in caught.value.seen

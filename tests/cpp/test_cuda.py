"""C++ over the device memory of a stand-in library. Nothing here runs on a GPU."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conformance.programs import PROGRAMS
from support.standins import check_same_frames


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_device_memory_gives_the_frames_of_the_hosts(
    name: str, cpp_build: Path, cudart: Path, bundles
) -> None:
    check_same_frames(cpp_build / "v2v_cuda", bundles(name).root, cudart, 60)


def test_a_missing_cuda_library_is_named(cpp_build: Path, bundles, tmp_path: Path) -> None:
    command = [cpp_build / "v2v_cuda", bundles("std").root, tmp_path / "libcudart.so", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("[V2V-E4011] none of ")

"""C++ over the device memory of a stand-in library. Nothing here runs on a GPU."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from conformance.programs import PROGRAMS

STANDIN = Path(__file__).parents[1] / "runtime" / "backends" / "cudart_standin.c"


@pytest.fixture(scope="session")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose copies happen when their stream is waited for."""
    compiler = shutil.which("cc")
    assert compiler is not None, "the C++ runtime was built without a C compiler"
    built = tmp_path_factory.mktemp("cudart") / "libstandin.so"
    subprocess.run([compiler, "-std=c11", "-O1", "-shared", "-fPIC", "-o", built, STANDIN], check=True)
    return built


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_device_memory_gives_the_frames_of_the_hosts(
    name: str, cpp_build: Path, standin: Path, bundles
) -> None:
    done = subprocess.run(
        [cpp_build / "v2v_cuda", bundles(name).root, standin, "60"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["expected"] > 0
    assert found == {"frames": found["expected"], "expected": found["expected"], "same": found["expected"]}


def test_a_missing_cuda_library_is_named(cpp_build: Path, bundles, tmp_path: Path) -> None:
    command = [cpp_build / "v2v_cuda", bundles("std").root, tmp_path / "libcudart.so", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("[V2V-E4011] none of ")

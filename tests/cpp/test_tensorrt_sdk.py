"""What opens the TensorRT backend of the C++ runtime: options, driver, GPU, and the real library.

What needs TensorRT's headers (``TENSORRT_ROOT``) is compiled against them and run as far as the real library
goes without a GPU; without them those tests say so and are left out.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.standins import build_standin

pytestmark = pytest.mark.usefixtures("own_folders")

DRIVER = Path(__file__).with_name("nvidia_standin.c")
SOURCE = Path(__file__).parents[2] / "runtime" / "cpp"

Json = dict[str, Any]
Configured = Callable[[Path, Path | str], "subprocess.CompletedProcess[str]"]


def opened(program: Path, options: Json, *libraries: Path) -> str:
    """What opening the backend says, with these libraries for the loader to find."""
    folders = os.pathsep.join(str(library.parent) for library in libraries)
    done = subprocess.run(
        [program, "open", json.dumps(options)],
        env={**os.environ, "LD_LIBRARY_PATH": folders},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else done.stderr


@pytest.fixture(scope="session")
def cuda(cmake_cache: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A driver's library with one GPU."""
    built = tmp_path_factory.mktemp("cuda") / "libcuda.so.1"
    return build_standin(cmake_cache["CMAKE_C_COMPILER"], DRIVER, built)


@pytest.fixture
def tensorrt(cpp_build: Path) -> Path:
    return cpp_build / "v2v_tensorrt"


@pytest.mark.parametrize(
    "options", [{"flavor": "rtx"}, {"flavour": "9"}, {"device": -1}, {"device": True}, {"trust": [1]}]
)
def test_options_that_are_wrong(options: Json, tensorrt: Path) -> None:
    assert opened(tensorrt, options).startswith("[V2V-E4009]")


def test_without_a_driver_the_backend_says_so(tensorrt: Path) -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        said = opened(tensorrt, {"flavour": "rtx", "compute_capability": "8.9", "workspace_mib": 64})
        assert said.startswith("[V2V-E4402] there is no NVIDIA driver here")
        assert "cpu target" in said
    else:
        pytest.skip("there is an NVIDIA driver here")


def test_the_gpu_is_asked_for_before_tensorrt(tensorrt: Path, cuda: Path, cudart: Path) -> None:
    assert opened(tensorrt, {"compute_capability": "8.9"}, cuda, cudart) == '"opened"'
    other = opened(tensorrt, {"compute_capability": "12.0"}, cuda, cudart)
    assert other.startswith("[V2V-E4403] GPU 0 is the one GPU, compute capability 8.9\n")
    assert "compute capability 12.0, for which this target was built" in other
    missing = opened(tensorrt, {"device": 3}, cuda, cudart)
    assert missing.startswith("[V2V-E4402] the NVIDIA driver has no GPU 3; it finds 1\n")
    # CUDA's runtime library comes last; a machine may have one, which finds no GPU behind this driver.
    assert opened(tensorrt, {}, cuda).startswith(("[V2V-E4011]", "[V2V-E4012]"))


@pytest.fixture(scope="session")
def configured(configure: list[str], cpp_build: Path) -> Configured:
    """Configures the same sources in a folder, with what another holds as the SDK."""

    def run(build: Path, sdk: Path | str) -> subprocess.CompletedProcess[str]:
        build.mkdir(exist_ok=True)
        (build / "headers").symlink_to(cpp_build / "headers")
        options = ("-DCMAKE_BUILD_TYPE=Test", "-DV2V_EXAMPLES=OFF", f"-DPython3_EXECUTABLE={sys.executable}")
        command = [*configure, "-S", SOURCE, "-B", build, f"-DTENSORRT_ROOT={sdk}", *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def built_with_sdk(configured: Configured, cmake: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sources with the SDK's headers."""
    root = os.environ.get("TENSORRT_ROOT")
    if root is None:
        pytest.skip("TENSORRT_ROOT is not set: it names TensorRT's headers, which no package registry has")
    build = tmp_path_factory.mktemp("with-sdk")
    done = configured(build, root)
    assert done.returncode == 0, done.stderr[-3000:]
    command = [cmake, "--build", build, "--target", "v2v_tensorrt", "v2v_runtime"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return build


def load(build: Path, plan: Path, cudart: Path) -> str:
    """What the real library says of a plan."""
    libraries = Path(pytest.importorskip("tensorrt_rtx_libs").__file__).parent
    done = subprocess.run(
        [build / "v2v_tensorrt", "load", plan, cudart],
        env={**os.environ, "LD_LIBRARY_PATH": str(libraries)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    return done.stderr


def test_the_real_library_refuses_what_is_no_engine(
    built_with_sdk: Path, cudart: Path, tmp_path: Path
) -> None:
    (tmp_path / "plan").write_bytes(b"no engine")
    said = load(built_with_sdk, tmp_path / "plan", cudart)
    assert "[V2V-E4405] TensorRT 1." in said
    assert "it gave no reason" not in said


def test_the_real_library_refuses_an_engine_where_there_is_no_gpu(
    built_with_sdk: Path, cudart: Path, tmp_path: Path
) -> None:
    (tmp_path / "plan").write_bytes(_real_engine())
    said = load(built_with_sdk, tmp_path / "plan", cudart)
    assert "[V2V-E4405] TensorRT 1." in said
    assert "it gave no reason" not in said


def _real_engine() -> bytes:
    """A plan that TensorRT for RTX built here for a GPU that is not here."""
    pytest.importorskip("tensorrt_rtx_libs")
    trt = pytest.importorskip("tensorrt_rtx_bindings")
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    x = network.add_input("x", trt.float32, (2, 3))
    one = network.add_constant((2, 3), trt.Weights(np.ones((2, 3), np.float32)))
    total = network.add_elementwise(x, one.get_output(0), trt.ElementWiseOperation.SUM)
    network.mark_output(total.get_output(0))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None
    return bytes(plan)


def test_a_folder_without_the_headers_is_named(configured: Configured, tmp_path: Path) -> None:
    done = configured(tmp_path / "build", tmp_path)
    assert done.returncode != 0
    assert "which holds no include/NvInferRuntime.h" in " ".join(done.stderr.split())

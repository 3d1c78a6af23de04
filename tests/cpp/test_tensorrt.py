"""The TensorRT backend of the C++ runtime over stand-ins. Nothing here runs on a GPU.

What needs TensorRT's headers (``TENSORRT_ROOT``) is compiled against them and run as far as the real library
goes without a GPU; without them those tests say so and are left out.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from support.bundles import make_target
from support.cpp import CppError, CppStream, Library
from v2v_runtime import trust
from v2v_runtime.backends.jit_cache import JitCache
from v2v_runtime.bundle_writer import write_target

CUDART = Path(__file__).parents[1] / "runtime" / "backends" / "cudart_standin.c"
DRIVER = Path(__file__).with_name("nvidia_standin.c")
SOURCE = Path(__file__).parents[2] / "runtime" / "cpp"
PLAN = "an engine"
SHA256 = hashlib.sha256(PLAN.encode()).hexdigest()

Json = dict[str, Any]


def build_standin(source: Path, built: Path) -> Path:
    compiler = shutil.which("cc")
    assert compiler is not None, "the C++ runtime was built without a C compiler"
    subprocess.run([compiler, "-std=c11", "-O1", "-shared", "-fPIC", "-o", built, source], check=True)
    return built


@pytest.fixture(scope="session")
def cudart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_standin(CUDART, tmp_path_factory.mktemp("cudart") / "libcudart.so.13")


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2V_TRUST", str(tmp_path / "trust"))
    monkeypatch.setenv("V2V_JIT_CACHE", str(tmp_path / "jit" / "below"))


class Stand:
    """Plays scripts: the backend's answers, and what it asked of TensorRT."""

    def __init__(self, program: Path, cudart: Path) -> None:
        self._command = [program, "script", cudart]

    def play(self, *actions: list[Any], **changes: Any) -> tuple[list[str], str | None]:
        script = {
            "plan": PLAN,
            "engine": PLAN,
            "options": {"trust": SHA256},
            "tensors": [
                ["x", True, "float32", [2, 3]],
                ["y", False, "uint8", [4]],
                ["ok", False, "float32", [1]],
            ],
            "inputs": [["x", "float32", [2, 3], False]],
            "outputs": [["y", "uint8", [4], False], ["ok", "float32", [1], False]],
            "buckets": [],
            "do": list(actions),
        }
        done = subprocess.run(
            self._command, input=json.dumps(script | changes), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        return answer["calls"], answer["error"]


@pytest.fixture
def stand(cpp_build: Path, cudart: Path) -> Stand:
    return Stand(cpp_build / "v2v_tensorrt", cudart)


LOAD = ["load"]
X = ["tensor", "x0", "float32", [2, 3]]
Y = ["tensor", "y0", "uint8", [4]]
BIND = ["bind", {"x": "x0"}, {"y": "y0"}]
RUN = ["run", 0]


def test_an_engine_from_elsewhere_is_refused_before_it_is_loaded(stand: Stand) -> None:
    calls, error = stand.play(LOAD, options={})
    assert error is not None
    assert error.startswith("[V2V-E4401] the engine of graph 'full' was not built here")
    assert SHA256 in error
    assert calls == []


def test_an_engine_whose_hash_is_trusted_is_loaded(stand: Stand) -> None:
    for options in ({"trust": SHA256}, {"trust": ["0" * 64, SHA256]}):
        assert stand.play(LOAD, options=options) == ([f"deserialize {len(PLAN)}"], None)


def test_trust_is_in_the_very_bytes(stand: Stand) -> None:
    calls, error = stand.play(LOAD, engine=PLAN + "!")
    assert error is not None
    assert error.startswith("[V2V-E4401]")
    assert calls == []


def test_an_engine_that_pythons_builder_recorded_is_loaded(stand: Stand) -> None:
    trust.record_built(SHA256)
    assert stand.play(LOAD, options={}) == ([f"deserialize {len(PLAN)}"], None)


def test_a_graph_without_an_engine(stand: Stand) -> None:
    _, error = stand.play(LOAD, engine=None)
    assert error is not None
    assert error.startswith("[V2V-E4005] graph 'full' has no engine in this target")


def test_an_engine_that_tensorrt_refuses(stand: Stand) -> None:
    _, error = stand.play(LOAD, plan="another")
    assert error is not None
    assert error.startswith("[V2V-E4405] TensorRT 1.7.1 refuses the engine of graph 'full': not a plan\n")


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [["x", "float32", [2, 4], False]]},
        {"inputs": [["x", "uint8", [2, 3], False]]},
        {"inputs": [["z", "float32", [2, 3], False]]},
        {"inputs": []},
        {
            "inputs": [["x", "float32", [2, 3], False], ["y", "uint8", [4], False]],
            "outputs": [["ok", "float32", [1], False]],
        },
        {
            "tensors": [
                ["x", True, None, [2, 3]],
                ["y", False, "uint8", [4]],
                ["ok", False, "float32", [1]],
            ]
        },
    ],
)
def test_ports_that_differ_from_the_manifest(changes: Json, stand: Stand) -> None:
    calls, error = stand.play(LOAD, **changes)
    assert error is not None
    assert error.startswith("[V2V-E4008] port ")
    assert calls == [f"deserialize {len(PLAN)}"]


def test_a_run_binds_every_port_once_and_queues_on_the_stream(stand: Stand) -> None:
    other = ["tensor", "y1", "uint8", [4]]
    again = ["bind", {"x": "x0"}, {"y": "y1"}]
    calls, error = stand.play(LOAD, X, Y, other, BIND, again, ["forget"], RUN, RUN, ["run", 1], RUN)
    assert error is None
    # An output that nobody wants has an address too, which is none of the others'.
    first = ["address ok another", "address x x0", "address y y0"]
    assert sorted(calls[:3]) == first
    assert calls[3:5] == ["run", "run"]  # the same run again: nothing to bind
    assert sorted(calls[5:8]) == ["address ok another", "address x x0", "address y y1"]
    assert calls[8] == "run"
    assert sorted(calls[9:12]) == first
    assert calls[12:] == ["run"]


def test_a_run_in_the_place_of_one_that_has_gone_is_bound(stand: Stand) -> None:
    other = ["tensor", "y1", "uint8", [4]]
    again = ["bind", {"x": "x0"}, {"y": "y1"}]
    calls, error = stand.play(LOAD, X, Y, other, BIND, RUN, ["drop", 0], again, ["forget"], ["run", 1])
    assert error is None
    assert sorted(calls) == ["address ok another", "address x x0", "address y y1", "run"]


def test_a_run_that_fails_says_why_and_the_next_one_binds_again(stand: Stand) -> None:
    _, error = stand.play(LOAD, X, Y, BIND, ["refuse", "run"], RUN)
    assert error is not None
    assert error.startswith("[V2V-E4007] TensorRT, graph 'full': the stand-in refuses")
    _, error = stand.play(LOAD, X, Y, BIND, ["refuse", "address"], RUN)
    assert error is not None
    assert error.startswith("[V2V-E4007]")


def test_no_room_for_a_context(stand: Stand) -> None:
    _, error = stand.play(LOAD, X, Y, ["refuse", "context"], BIND)
    assert error is not None
    assert error.startswith("[V2V-E4405] TensorRT makes no context for graph 'full': no room\n")


ROWS: Json = {
    "tensors": [["x", True, "float32", [-1, 3]], ["y", False, "float32", [16, 3]]],
    "inputs": [["x", "float32", [64, 3], True]],
    "outputs": [["y", "float32", [64, 3], True]],
    "buckets": [16, 64],
}
LARGE = [["tensor", "x0", "float32", [64, 3]], ["tensor", "y0", "float32", [64, 3]]]


def test_each_bucket_has_its_shape_profile(stand: Stand) -> None:
    small = [["view", "x1", "x0", 16], ["view", "y1", "y0", 16]]
    parts = ["bind", {"x": "x1"}, {"y": "y1"}]
    calls, error = stand.play(LOAD, *LARGE, *small, parts, BIND, parts, RUN, ["run", 1], **ROWS)
    assert error is None
    told = [call for call in calls if call.startswith(("profile", "shape", "context"))]
    assert told == [
        "context ",
        "profile 0",
        "shape x [16, 3]",
        "context k",
        "profile 1",
        "shape x [64, 3]",
    ]


def test_rows_that_are_no_bucket(stand: Stand) -> None:
    views = [["view", "x1", "x0", 17], ["view", "y1", "y0", 17]]
    _, error = stand.play(LOAD, *LARGE, *views, ["bind", {"x": "x1"}, {"y": "y1"}], **ROWS)
    assert error is not None
    assert error.startswith("[V2V-E4008] 17 rows at graph 'full'\n  expected: one of its buckets: 16, 64")


def test_compiled_kernels_are_kept_where_python_keeps_them(stand: Stand, tmp_path: Path) -> None:
    for before in ("", "k", "kk"):
        calls, _ = stand.play(LOAD, X, Y, BIND)
        assert calls[-1] == f"context {before}"
    (file,) = (tmp_path / "jit" / "below").iterdir()
    assert file == JitCache(f"{SHA256} 1.7.1 a GPU 13000").path
    assert file.read_bytes() == b"kkk"
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("V2V_JIT_CACHE", str(tmp_path / "file" / "below"))
    assert stand.play(LOAD, X, Y, BIND, RUN)[1] is None


def with_engines(name: str, folder: Path) -> Path:
    """A synthetic program's bundle and a target for TensorRT, whose engines are the graphs' ONNX files."""
    program = PROGRAMS[name]()
    root = program.write(folder / name).root
    target = make_target(
        profile="rtx4090",
        backend="tensorrt",
        status="built",
        options={"flavour": "rtx", "compute_capability": "8.9"},
        engines={graph: f"{graph}.plan" for graph in program.onnx()},
    )
    write_target(root, target, {f"{graph}.plan": data for graph, data in program.onnx().items()})
    return root


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_engines_of_a_target_give_the_frames_of_its_graphs(
    name: str, cpp_build: Path, cudart: Path, tmp_path: Path
) -> None:
    """The whole machine over the backend; the stand-in runs each engine by ONNX Runtime."""
    root = with_engines(name, tmp_path)
    for plan in root.glob("targets/*/*.plan"):
        trust.record_built(hashlib.sha256(plan.read_bytes()).hexdigest())
    done = subprocess.run(
        [cpp_build / "v2v_tensorrt", "play", root, cudart, "60"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["expected"] > 0
    assert found == {"frames": found["expected"], "expected": found["expected"], "same": found["expected"]}


def test_an_engine_that_changed_on_disk_is_refused(cpp_build: Path, cudart: Path, tmp_path: Path) -> None:
    root = with_engines("std", tmp_path)
    (plan, *_) = sorted(root.glob("targets/*/*.plan"))
    data = bytearray(plan.read_bytes())
    data[-1] ^= 1
    plan.write_bytes(data)
    done = subprocess.run(
        [cpp_build / "v2v_tensorrt", "play", root, cudart, "1"], capture_output=True, text=True, check=False
    )
    assert done.stderr.startswith("[V2V-E1012] targets/rtx4090.tensorrt/")


def test_a_library_without_the_backend_says_how_to_get_it(
    library: Library, cpp_build: Path, tmp_path: Path
) -> None:
    cache = (cpp_build / "CMakeCache.txt").read_text("utf-8")
    if not re.search(r"^TENSORRT_ROOT:PATH=$", cache, flags=re.MULTILINE):
        pytest.skip("this build has the TensorRT backend")
    handle = library.open(with_engines("std", tmp_path))
    with pytest.raises(CppError, match="TENSORRT_ROOT") as caught:
        CppStream(library, handle)
    assert caught.value.code == "V2V-E4002"
    assert library.destroy("bundle", handle) == 0


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
def cuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A driver's library with one GPU."""
    return build_standin(DRIVER, tmp_path_factory.mktemp("cuda") / "libcuda.so.1")


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
def built_with_sdk(tmp_path_factory: pytest.TempPathFactory, cpp_build: Path) -> Path:
    """The same sources with the SDK's headers."""
    root = os.environ.get("TENSORRT_ROOT")
    cmake = shutil.which("cmake")
    if root is None:
        pytest.skip("TENSORRT_ROOT is not set: it names TensorRT's headers, which no package registry has")
    if cmake is None:
        pytest.skip("no cmake on the path")
    build = tmp_path_factory.mktemp("with-sdk")
    (build / "headers").symlink_to(cpp_build / "headers")
    configure = [
        cmake, "-S", SOURCE, "-B", build, "-DCMAKE_BUILD_TYPE=Test", f"-DTENSORRT_ROOT={root}",
        "-DV2V_EXAMPLES=OFF", f"-DPython3_EXECUTABLE={sys.executable}",
    ]  # fmt: skip
    for command in (configure, [cmake, "--build", build, "--target", "v2v_tensorrt", "v2v_runtime"]):
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
    (tmp_path / "plan").write_bytes(PLAN.encode())
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


def test_a_folder_without_the_headers_is_named(tmp_path: Path, cpp_build: Path) -> None:
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake on the path")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "headers").symlink_to(cpp_build / "headers")
    command = [cmake, "-S", SOURCE, "-B", tmp_path / "build", f"-DPython3_EXECUTABLE={sys.executable}"]
    done = subprocess.run(
        [*command, f"-DTENSORRT_ROOT={tmp_path}"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "which holds no include/NvInferRuntime.h" in " ".join(done.stderr.split())

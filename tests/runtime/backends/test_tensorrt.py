"""The TensorRT backend against stand-ins: refusals, the order of calls, shape profiles. No GPU is needed.

What a GPU would show, that an engine gives the right numbers, is not tested anywhere in this project.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from v2v_runtime import trust
from v2v_runtime.backends import open_backend
from v2v_runtime.backends.base import EngineSpec, Port
from v2v_runtime.backends.host import HostMemory
from v2v_runtime.backends.nvidia import Gpu, find_gpu
from v2v_runtime.backends.tensorrt import Options, TensorRTBackend
from v2v_runtime.errors import BackendError

PLAN = b"an engine"
SHA256 = hashlib.sha256(PLAN).hexdigest()
FLOAT = np.dtype(np.float32)
BYTE = np.dtype(np.uint8)


class Context:
    """Writes down what is asked of it."""

    def __init__(self, calls: list[Any]) -> None:
        self.calls = calls
        self.good = True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.calls.append(("address", name, address))
        return True

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self.calls.append(("profile", index, stream))
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.calls.append(("shape", name, shape))
        return True

    def execute_async_v3(self, stream: int) -> bool:
        self.calls.append(("run", stream))
        return self.good


@dataclass
class Cache:
    """A JIT cache that holds one more kernel after each context."""

    data: bytes = b""

    def deserialize(self, data: bytes) -> bool:
        self.data = data
        return True

    def serialize(self) -> bytes:
        return self.data + b"k"


@dataclass
class FakeEngine:
    """Ports: name -> (is input, dtype, shape)."""

    ports: dict[str, tuple[bool, np.dtype[Any], tuple[int, ...]]]
    calls: list[Any] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)

    @property
    def num_io_tensors(self) -> int:
        return len(self.ports)

    def get_tensor_name(self, index: int) -> str:
        return list(self.ports)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if self.ports[name][0] else "out"

    def get_tensor_dtype(self, name: str) -> np.dtype[Any]:
        return self.ports[name][1]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.ports[name][2]

    def create_runtime_config(self) -> Any:
        cache = Cache()
        return SimpleNamespace(
            create_runtime_cache=lambda: cache,
            set_runtime_cache=lambda c: self.calls.append(("cache", c.data)),
        )

    def create_execution_context(self, config: Any) -> Context:
        self.contexts.append(Context(self.calls))
        return self.contexts[-1]


class Runtime:
    """Gives the engine for the one plan that it knows, and says why not for others."""

    engine_host_code_allowed = True

    def __init__(self, logger: Any, engine: FakeEngine) -> None:
        self.logger, self.engine = logger, engine
        self.loaded: list[bytes] = []

    def deserialize_cuda_engine(self, data: bytes) -> FakeEngine | None:
        self.loaded.append(data)
        if data == PLAN:
            return self.engine
        self.logger.log("Severity.ERROR", "not a plan")
        return None


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2V_TRUST", str(tmp_path / "trust"))
    monkeypatch.setenv("V2V_JIT_CACHE", str(tmp_path / "jit"))


class Stand:
    """A backend over stand-ins for TensorRT and CUDA; tensors are in host memory."""

    def __init__(self, engine: FakeEngine, **options: Any) -> None:
        self.runtime: Any = None

        def runtime(logger: Any) -> Runtime:
            self.runtime = Runtime(logger, engine)
            return self.runtime  # type: ignore[no-any-return]  # just assigned

        trt = SimpleNamespace(
            __version__="1.7.1",
            ILogger=type("ILogger", (), {}),
            Runtime=runtime,
            TensorIOMode=SimpleNamespace(INPUT="in"),
            nptype=lambda dtype: dtype,
        )
        cuda = SimpleNamespace(stream=77, select=lambda: None, close=lambda: None)
        gpu = Gpu("a GPU", "8.9", 13000)
        self.memory = HostMemory()
        self.backend = TensorRTBackend(trt, Options.read(options), gpu, self.memory, cuda)


def _engine() -> FakeEngine:
    return FakeEngine({"x": (True, FLOAT, (2, 3)), "y": (False, BYTE, (4,)), "ok": (False, FLOAT, (1,))})


def _spec(data: bytes | None = PLAN, **changes: Any) -> EngineSpec:
    read: Callable[[], bytes] | None = None if data is None else lambda: data
    ports: dict[str, Any] = {
        "inputs": (Port("x", FLOAT, (2, 3)),),
        "outputs": (Port("y", BYTE, (4,)), Port("ok", FLOAT, (1,))),
    }
    return EngineSpec(graph="full", onnx=None, engine=read, **{**ports, **changes})


def test_an_engine_from_elsewhere_is_refused_before_it_is_loaded() -> None:
    stand = Stand(_engine())
    with pytest.raises(BackendError) as caught:
        stand.backend.load(_spec())
    assert caught.value.code == "V2V-E4401"
    assert SHA256 in caught.value.seen
    assert stand.runtime.loaded == []


def test_an_engine_whose_hash_is_trusted_is_loaded() -> None:
    stand = Stand(_engine(), trust=[SHA256])
    stand.backend.load(_spec())
    assert stand.runtime.loaded == [PLAN]


def test_trust_is_in_the_very_bytes() -> None:
    stand = Stand(_engine(), trust=[SHA256])
    with pytest.raises(BackendError) as caught:
        stand.backend.load(_spec(PLAN + b"!"))
    assert caught.value.code == "V2V-E4401"
    assert stand.runtime.loaded == []


def test_an_engine_that_was_built_here_is_loaded() -> None:
    trust.record_built(SHA256)
    assert trust.built_here(SHA256)
    stand = Stand(_engine())
    stand.backend.load(_spec())
    assert stand.runtime.loaded == [PLAN]


@pytest.mark.parametrize("name", ["", "../trust", SHA256.upper(), SHA256 + "0"])
def test_only_hashes_are_recorded(name: str) -> None:
    with pytest.raises(ValueError, match="no sha256"):
        trust.record_built(name)
    assert not trust.built_here(name)


def test_host_code_in_an_engine_is_never_allowed() -> None:
    stand = Stand(_engine())
    assert stand.runtime.engine_host_code_allowed is False


def test_a_graph_without_an_engine() -> None:
    with pytest.raises(BackendError) as caught:
        Stand(_engine()).backend.load(_spec(None))
    assert caught.value.code == "V2V-E4005"


def test_an_engine_that_tensorrt_refuses() -> None:
    other = b"something else"
    stand = Stand(_engine(), trust=[hashlib.sha256(other).hexdigest()])
    with pytest.raises(BackendError) as caught:
        stand.backend.load(_spec(other))
    assert caught.value.code == "V2V-E4405"
    assert "not a plan" in caught.value.seen


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": (Port("x", FLOAT, (2, 4)),)},
        {"inputs": (Port("x", BYTE, (2, 3)),)},
        {"inputs": (Port("z", FLOAT, (2, 3)),)},
        {"inputs": ()},
        {"inputs": (Port("x", FLOAT, (2, 3)), Port("y", BYTE, (4,))), "outputs": (Port("ok", FLOAT, (1,)),)},
    ],
)
def test_ports_that_differ_from_the_manifest(changes: dict[str, Any]) -> None:
    with pytest.raises(BackendError) as caught:
        Stand(_engine(), trust=SHA256).backend.load(_spec(**changes))
    assert caught.value.code == "V2V-E4008"


def test_a_run_binds_every_port_once_and_queues_on_the_stream() -> None:
    fake = _engine()
    stand = Stand(fake, trust=SHA256)
    engine = stand.backend.load(_spec())
    x, y = stand.memory.allocate(FLOAT, (2, 3)), stand.memory.allocate(BYTE, (4,))
    other = stand.memory.allocate(BYTE, (4,))
    first, second = engine.bind({"x": x}, {"y": y}), engine.bind({"x": x}, {"y": other})
    fake.calls.clear()
    first()
    first()
    second()
    waste = next(call[2] for call in fake.calls if call[1] == "ok")
    assert waste not in (0, x.address, y.address)  # an output that nobody wants has an address too
    common = [("address", "x", x.address), ("address", "ok", waste)]
    assert sorted(fake.calls[:3]) == sorted([*common, ("address", "y", y.address)])
    assert fake.calls[3:5] == [("run", 77), ("run", 77)]  # the same run again: nothing to bind
    assert sorted(fake.calls[5:8]) == sorted([*common, ("address", "y", other.address)])
    assert fake.calls[8:] == [("run", 77)]
    assert len(fake.contexts) == 1


def test_a_run_keeps_its_tensors_and_the_engine_does_not() -> None:
    stand = Stand(_engine(), trust=SHA256)
    engine = stand.backend.load(_spec())
    x, y = stand.memory.allocate(FLOAT, (2, 3)), stand.memory.allocate(BYTE, (4,))
    array = weakref.ref(y.array)
    run = engine.bind({"x": x}, {"y": y})
    del y
    gc.collect()
    assert array() is not None
    run()
    del run
    gc.collect()
    assert array() is None


def test_a_run_that_fails_says_why() -> None:
    fake = _engine()
    stand = Stand(fake, trust=SHA256)
    engine = stand.backend.load(_spec())
    x, y = stand.memory.allocate(FLOAT, (2, 3)), stand.memory.allocate(BYTE, (4,))
    run = engine.bind({"x": x}, {"y": y})
    fake.contexts[0].good = False
    with pytest.raises(BackendError) as caught:
        run()
    assert caught.value.code == "V2V-E4007"
    assert "'full'" in caught.value.seen


def _rows() -> tuple[FakeEngine, EngineSpec]:
    fake = FakeEngine({"x": (True, FLOAT, (-1, 3)), "y": (False, FLOAT, (16, 3))})
    spec = _spec(
        inputs=(Port("x", FLOAT, (64, 3), rows=True),),
        outputs=(Port("y", FLOAT, (64, 3), rows=True),),
        buckets=(16, 64),
    )
    return fake, spec


def test_each_bucket_has_its_shape_profile() -> None:
    fake, spec = _rows()
    stand = Stand(fake, trust=SHA256)
    engine = stand.backend.load(spec)
    x, y = stand.memory.allocate(FLOAT, (64, 3)), stand.memory.allocate(FLOAT, (64, 3))
    small = engine.bind({"x": x.view(0, 16)}, {"y": y.view(0, 16)})
    engine.bind({"x": x}, {"y": y})
    engine.bind({"x": x.view(0, 16)}, {"y": y.view(0, 16)})
    told = [call for call in fake.calls if call[0] in ("profile", "shape")]
    assert told == [("profile", 0, 77), ("shape", "x", (16, 3)), ("profile", 1, 77), ("shape", "x", (64, 3))]
    assert len(fake.contexts) == 2
    small()
    assert fake.contexts[0].calls[-1] == ("run", 77)


def test_rows_that_are_no_bucket() -> None:
    fake, spec = _rows()
    stand = Stand(fake, trust=SHA256)
    engine = stand.backend.load(spec)
    x, y = stand.memory.allocate(FLOAT, (64, 3)), stand.memory.allocate(FLOAT, (64, 3))
    with pytest.raises(BackendError) as caught:
        engine.bind({"x": x.view(0, 17)}, {"y": y.view(0, 17)})
    assert caught.value.code == "V2V-E4008"


def test_compiled_kernels_are_kept_for_the_next_start(tmp_path: Path) -> None:
    for before in (b"", b"k", b"kk"):
        fake = _engine()
        stand = Stand(fake, trust=SHA256)
        x, y = stand.memory.allocate(FLOAT, (2, 3)), stand.memory.allocate(BYTE, (4,))
        stand.backend.load(_spec()).bind({"x": x}, {"y": y})
        assert fake.calls == [("cache", before)]
    (file,) = (tmp_path / "jit").iterdir()
    assert file.read_bytes() == b"kkk"


def test_a_cache_that_cannot_be_written_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("V2V_JIT_CACHE", str(tmp_path / "file" / "below"))
    stand = Stand(_engine(), trust=SHA256)
    x, y = stand.memory.allocate(FLOAT, (2, 3)), stand.memory.allocate(BYTE, (4,))
    stand.backend.load(_spec()).bind({"x": x}, {"y": y})()


@pytest.mark.parametrize(
    "options", [{"flavor": "rtx"}, {"flavour": "9"}, {"device": -1}, {"device": True}, {"trust": [1]}]
)
def test_options_that_are_wrong(options: dict[str, Any]) -> None:
    with pytest.raises(BackendError) as caught:
        open_backend("tensorrt", options)
    assert caught.value.code == "V2V-E4009"


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


def test_another_gpu_than_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("v2v_runtime.backends.tensorrt.find_gpu", lambda index: Gpu("a GPU", "8.6", 13000))
    with pytest.raises(BackendError) as caught:
        open_backend("tensorrt", {"flavour": "rtx", "compute_capability": "8.9", "workspace_mib": 64})
    assert caught.value.code == "V2V-E4403"
    assert "8.6" in caught.value.seen


def test_without_a_gpu_the_backend_says_so() -> None:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("there is an NVIDIA driver here")
    with pytest.raises(BackendError) as caught:
        open_backend("tensorrt", {"flavour": "rtx", "compute_capability": "8.9"})
    assert caught.value.code == "V2V-E4402"
    assert "cpu target" in caught.value.fix


def test_the_real_library_refuses_what_is_no_engine() -> None:
    pytest.importorskip("tensorrt_rtx_libs")
    trt = pytest.importorskip("tensorrt_rtx_bindings")
    cuda = SimpleNamespace(stream=77, select=lambda: None, close=lambda: None)
    options = Options.read({"trust": [SHA256]})
    backend = TensorRTBackend(trt, options, Gpu("a GPU", "8.9", 13000), HostMemory(), cuda)
    with pytest.raises(BackendError) as caught:
        backend.load(_spec())
    assert caught.value.code == "V2V-E4405"
    assert "gave no reason" not in caught.value.seen

"""Stand-ins for TensorRT: an engine that writes down what is asked of it, and a backend over it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
from v2v_runtime.backends.base import EngineSpec, Port
from v2v_runtime.backends.host import HostMemory
from v2v_runtime.backends.nvidia import Gpu
from v2v_runtime.backends.tensorrt import Options, TensorRTBackend

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


def fake_engine() -> FakeEngine:
    return FakeEngine({"x": (True, FLOAT, (2, 3)), "y": (False, BYTE, (4,)), "ok": (False, FLOAT, (1,))})


def engine_spec(data: bytes | None = PLAN, **changes: Any) -> EngineSpec:
    read: Callable[[], bytes] | None = None if data is None else lambda: data
    ports: dict[str, Any] = {
        "inputs": (Port("x", FLOAT, (2, 3)),),
        "outputs": (Port("y", BYTE, (4,)), Port("ok", FLOAT, (1,))),
    }
    return EngineSpec(graph="full", onnx=None, engine=read, **{**ports, **changes})

"""ONNX Runtime, on its CPU and CUDA providers: bindings made beforehand, tensors that the caller owns.

The CUDA path is built, not run here: no machine of this project's tests has such a GPU. It keeps every tensor
in device memory that ``cuda`` allocates, gives ONNX Runtime its own stream, and waits only where the machine
reads a value.

Options (``Target.options``):

================  =========================================================================================
``provider``      ``cpu`` (default) or ``cuda``.
``device``        GPU index, default 0.
``threads``       threads inside an operator on the CPU; 0 (default): as many as there are physical cores.
``spin``          whether those threads spin while they wait for work. False (default): a stream's graphs are
                  sessions with threads of their own, and those that wait would take the cores from those
                  that run. True suits a program of one graph.
``arena``         whether memory that a run needed is kept for the next one, on the CPU. True (default); False
                  gives it back, for where a graph's peak matters more than its time.
``optimization``  graph optimisations: ``all`` (default), ``extended``, ``basic`` or ``none``.
================  =========================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from importlib import metadata
from typing import Any, Literal, Self

import numpy as np

from v2v_runtime.backends.base import Backend, Engine, EngineSpec, Memory, Port, Run, Tensor
from v2v_runtime.backends.host import HostMemory
from v2v_runtime.backends.ort_module import import_onnxruntime
from v2v_runtime.errors import BackendError

_ONNX_TYPES = {
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int64)": np.dtype(np.int64),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(float)": np.dtype(np.float32),
}
_LEVELS = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "none": "ORT_DISABLE_ALL",
}
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_WHEELS = {"cpu": "onnxruntime", "cuda": "onnxruntime-gpu"}
#: What ONNX Runtime says of a model that is newer than itself.
_TOO_NEW = re.compile(
    r"Unsupported model IR version|Opset \d+ is under development|Could not find an implementation for"
)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of this backend; see the module's docstring."""

    provider: Literal["cpu", "cuda"] = "cpu"
    device: int = 0
    threads: int = 0
    spin: bool = False
    arena: bool = True
    optimization: Literal["all", "extended", "basic", "none"] = "all"

    @staticmethod
    def read(given: Mapping[str, Any]) -> Options:
        """Checks names, types and ranges.

        Raises:
            BackendError: V2V-E4009.
        """
        known = {field.name for field in fields(Options)}
        for name in given:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                raise BackendError(
                    "V2V-E4009",
                    f"the onnxruntime backend has no option {name!r}",
                    f"one of {', '.join(sorted(known))}",
                    f"did you mean {near[0]!r}?" if near else "",
                )
        options = Options(**given)
        _check(options.provider in _PROVIDERS, "provider", options.provider, "'cpu' or 'cuda'")
        level = options.optimization
        _check(level in _LEVELS, "optimization", level, f"one of {', '.join(_LEVELS)}")
        for name in ("spin", "arena"):
            flag = getattr(options, name)
            _check(isinstance(flag, bool), name, flag, "true or false")
        for name in ("device", "threads"):
            value = getattr(options, name)
            _check(type(value) is int and 0 <= value <= 1024, name, value, "an integer from 0 to 1024")
        return options


def _check(good: bool, name: str, seen: object, expected: str) -> None:
    if not good:
        raise BackendError("V2V-E4009", f"option {name!r} of the onnxruntime backend is {seen!r}", expected)


def open_backend(options: Mapping[str, Any]) -> Backend:
    """Opens ONNX Runtime with the options of a target.

    Raises:
        BackendError: not installed (V2V-E4002), installed twice (V2V-E4003), without the provider
            (V2V-E4004), a wrong option (V2V-E4009).
    """
    return OnnxRuntimeBackend.open(options)


def _import(provider: str) -> Any:
    installed = [wheel for wheel in _WHEELS.values() if _has(wheel)]
    if len(installed) > 1:
        raise BackendError(
            "V2V-E4003",
            f"{' and '.join(installed)} are both installed, and overwrite one another's files",
            "one of them",
            f"pip uninstall -y {' '.join(installed)}, then pip install v2v-runtime[{provider}]",
        )
    try:
        ort = import_onnxruntime()
    except ImportError as error:
        raise BackendError(
            "V2V-E4002",
            f"onnxruntime cannot be imported ({error})",
            "",
            f"pip install v2v-runtime[{provider}]",
        ) from error
    if _PROVIDERS[provider] not in ort.get_available_providers():
        raise BackendError(
            "V2V-E4004",
            f"onnxruntime {ort.__version__} has the providers {', '.join(ort.get_available_providers())}",
            _PROVIDERS[provider],
            f"pip uninstall -y onnxruntime, then pip install v2v-runtime[{provider}]",
        )
    return ort


def _has(wheel: str) -> bool:
    try:
        metadata.version(wheel)
    except metadata.PackageNotFoundError:
        return False
    return True


class OnnxRuntimeBackend:
    """One provider of ONNX Runtime on one device."""

    name = "onnxruntime"

    def __init__(self, ort: Any, options: Options, memory: Memory, cuda: Any) -> None:
        self.memory = memory
        self._ort = ort
        self._options = options
        self._cuda = cuda

    @classmethod
    def open(cls, options: Mapping[str, Any]) -> Self:
        """See ``open_backend``."""
        read = Options.read(options)
        ort = _import(read.provider)
        if read.provider == "cuda":
            from v2v_runtime.backends.cuda import CudaMemory, CudaRuntime

            # The wheel's own loader finds the CUDA libraries that were installed as wheels beside it.
            ort.preload_dlls()
            cuda = CudaRuntime.open(read.device)
            return cls(ort, read, CudaMemory(cuda), cuda)
        return cls(ort, read, HostMemory(), None)

    def load(self, spec: EngineSpec) -> Engine:
        assert spec.onnx is not None
        if not spec.onnx.is_file():
            raise BackendError("V2V-E4005", f"graph {spec.graph!r}: {spec.onnx} is not a file")
        try:
            session = self._ort.InferenceSession(
                str(spec.onnx), self.session_options(), providers=self._providers()
            )
        except Exception as error:
            raise self._refused(spec, str(error)) from error
        session.disable_fallback()
        self._check_provider(session)
        _check_ports(spec.graph, "input", session.get_inputs(), spec.inputs)
        _check_ports(spec.graph, "output", session.get_outputs(), spec.outputs)
        return _OnnxRuntimeEngine(session, self._options, self._run_options())

    def close(self) -> None:
        if self._cuda is not None:
            self._cuda.close()

    def session_options(self) -> Any:
        """The ``SessionOptions`` that every graph is opened with."""
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = self._options.threads
        options.graph_optimization_level = getattr(
            self._ort.GraphOptimizationLevel, _LEVELS[self._options.optimization]
        )
        # Fatal: what fails says so in its exception, which errors quote; nothing of it goes to stderr.
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = options.enable_mem_pattern = self._options.arena
        if not self._options.spin:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    def _providers(self) -> list[Any]:
        if self._options.provider == "cpu":
            return [_PROVIDERS["cpu"]]
        settings = {
            "device_id": str(self._options.device),
            "user_compute_stream": str(self._cuda.stream),
            # The same result in every process: no kernel chosen by a race between clocks.
            "cudnn_conv_algo_search": "HEURISTIC",
        }
        return [(_PROVIDERS["cuda"], settings), _PROVIDERS["cpu"]]

    def _run_options(self) -> Any:
        if self._options.provider == "cpu":
            return None
        options = self._ort.RunOptions()
        # Copies and reads are ordered on the same stream; waiting after every graph would only cost time.
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        return options

    def _check_provider(self, session: Any) -> None:
        wanted = _PROVIDERS[self._options.provider]
        if session.get_providers()[0] != wanted:
            raise BackendError(
                "V2V-E4004",
                f"onnxruntime fell back to {', '.join(session.get_providers())}",
                wanted,
                "run `v2v-export doctor`: the driver, CUDA or cuDNN does not fit this onnxruntime",
            )

    def _refused(self, spec: EngineSpec, message: str) -> BackendError:
        version = self._ort.__version__
        if _TOO_NEW.search(message):
            return BackendError(
                "V2V-E4006",
                f"graph {spec.graph!r} needs a newer ONNX Runtime than {version}: {message}",
                "",
                "upgrade onnxruntime, or build the bundle with a lower opset",
            )
        return BackendError("V2V-E4005", f"onnxruntime {version} cannot load graph {spec.graph!r}: {message}")


def _check_ports(graph: str, kind: str, nodes: Any, ports: tuple[Port, ...]) -> None:
    found = {node.name: node for node in nodes}
    if set(found) != {port.name for port in ports}:
        raise BackendError(
            "V2V-E4008",
            f"the ONNX file of graph {graph!r} has the {kind}s {sorted(found)}",
            f"{sorted(port.name for port in ports)}, as the manifest declares",
            "build the bundle again",
        )
    for port in ports:
        node = found[port.name]
        shape = list(node.shape)
        if port.rows and shape and not isinstance(shape[0], int):
            shape[0] = port.shape[0]
        if _ONNX_TYPES.get(node.type) != port.dtype or shape != list(port.shape):
            raise BackendError(
                "V2V-E4008",
                f"{kind} {port.name!r} of the ONNX file of graph {graph!r} is {node.type} {node.shape}",
                f"{port.dtype} {list(port.shape)}" + (" with a free axis 0" if port.rows else ""),
                "build the bundle again",
            )


class _OnnxRuntimeEngine:
    def __init__(self, session: Any, options: Options, run_options: Any) -> None:
        self._session = session
        self._device = options.provider, options.device if options.provider == "cuda" else 0
        self._run_options = run_options

    def bind(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Run:
        session, run_options = self._session, self._run_options
        binding = session.io_binding()
        for name, tensor in inputs.items():
            binding.bind_input(name, *self._device, tensor.dtype.type, tensor.shape, tensor.address)
        for name, tensor in outputs.items():
            binding.bind_output(name, *self._device, tensor.dtype.type, tensor.shape, tensor.address)
        # ONNX Runtime sees addresses only: this closure keeps the tensors alive as long as the binding.
        kept = (*inputs.values(), *outputs.values())
        run_with_iobinding = session.run_with_iobinding

        def run(_kept: tuple[Tensor, ...] = kept) -> None:
            try:
                run_with_iobinding(binding, run_options)
            except Exception as error:
                raise BackendError("V2V-E4007", f"onnxruntime: {error}") from error

        return run

    def close(self) -> None:
        self._session = None

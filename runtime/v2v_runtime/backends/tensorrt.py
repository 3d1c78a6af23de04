"""TensorRT for RTX, and full TensorRT 10 and 11: engines built before, tensors that the caller owns.

Built, not run here: no machine of this project's tests has a GPU for it. The order of calls, the refusals and
the choice of shape profiles are tested against stand-ins; that an engine computes the right numbers is not.

An engine is native code: its bytes are hashed as they are read, and those that were not built here are
refused unless the user trusts that very hash (``v2v_runtime.trust``). Code for the host inside an engine is
never allowed.

Options (``Target.options``):

======================  ===================================================================================
``flavour``             ``rtx`` (default), ``10`` or ``11``.
``compute_capability``  for which the engines were built; the GPU must have it. None: not checked.
``workspace_mib``       a build setting, recorded in the target; not used here.
``device``              GPU index, default 0.
``trust``               sha256 of engines that were not built here and may be loaded all the same; a stream
                        also takes that of the ``target.json`` that lists them. Never a target's own option.
======================  ===================================================================================
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from v2v_runtime.backends.base import Backend, Engine, EngineSpec, Memory
from v2v_runtime.backends.jit_cache import JitCache
from v2v_runtime.backends.nvidia import Gpu, find_gpu
from v2v_runtime.backends.tensorrt_engine import TensorRTEngine, check_ports, last_words
from v2v_runtime.errors import BackendError
from v2v_runtime.trust import built_here

_MODULES = {
    "rtx": (("tensorrt_rtx_libs", "tensorrt_rtx_bindings"), ("tensorrt_rtx",)),
    "10": (("tensorrt",),),
    "11": (("tensorrt",),),
}
UNTRUSTED_FIX = (
    "build the bundle here; or, if you trust where it comes from, name that hash to --trust (in code: option "
    "trust), or the one in its target's target.sha256, which stands for all engines of the target"
)
_INSTALL = {"rtx": "pip install tensorrt-rtx-cu12-libs tensorrt-rtx-cu12-bindings"}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of this backend; see the module's docstring."""

    flavour: str = "rtx"
    compute_capability: str | None = None
    workspace_mib: int | None = None
    device: int = 0
    trust: tuple[str, ...] = ()

    @staticmethod
    def read(given: Mapping[str, Any]) -> Options:
        """Checks names and types.

        Raises:
            BackendError: V2V-E4009.
        """
        known = [field.name for field in fields(Options)]
        for name in given:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                raise BackendError(
                    "V2V-E4009",
                    f"the tensorrt backend has no option {name!r}",
                    f"one of {', '.join(sorted(known))}",
                    f"did you mean {near[0]!r}?" if near else "",
                )
        trust = given.get("trust", ())
        hashes = (trust,) if isinstance(trust, str) else tuple(trust)
        options = Options(**{**given, "trust": hashes})
        _check(options.flavour in _MODULES, "flavour", options.flavour, f"one of {', '.join(_MODULES)}")
        _check(
            type(options.device) is int and options.device >= 0, "device", options.device, "an index from 0"
        )
        _check(all(isinstance(item, str) for item in hashes), "trust", trust, "hashes as texts")
        return options


def _check(good: bool, name: str, seen: object, expected: str) -> None:
    if not good:
        raise BackendError("V2V-E4009", f"option {name!r} of the tensorrt backend is {seen!r}", expected)


def open_backend(options: Mapping[str, Any]) -> Backend:
    """Opens TensorRT on a GPU.

    Raises:
        BackendError: a wrong option (V2V-E4009); no driver or GPU (V2V-E4402); another GPU than the target's
            (V2V-E4403); TensorRT is not installed or of another version (V2V-E4404); no CUDA runtime library
            (V2V-E4011, V2V-E4012).
    """
    read = Options.read(options)
    gpu = find_gpu(read.device)
    if read.compute_capability not in (None, gpu.capability):
        raise BackendError(
            "V2V-E4403",
            f"GPU {read.device} is {gpu.name}, compute capability {gpu.capability}",
            f"compute capability {read.compute_capability}, for which this target was built",
            "build the bundle for this GPU: `v2v-export build --gpu ...`",
        )
    trt = _import(read.flavour)
    from v2v_runtime.backends.cuda import CudaMemory, CudaRuntime

    cuda = CudaRuntime.open(read.device)
    return TensorRTBackend(trt, read, gpu, CudaMemory(cuda), cuda)


def _import(flavour: str) -> Any:
    causes = []
    for names in _MODULES[flavour]:
        try:
            trt = [import_module(name) for name in names][-1]
        except (ImportError, OSError, RuntimeError) as error:
            causes.append(f"{names[-1]}: {error}")
            continue
        major = str(trt.__version__).partition(".")[0]
        if flavour in ("rtx", major):
            return trt
        causes.append(f"{names[-1]} {trt.__version__} is installed")
    wanted = "TensorRT for RTX" if flavour == "rtx" else f"TensorRT {flavour}"
    raise BackendError(
        "V2V-E4404",
        f"{wanted} cannot be imported ({'; '.join(causes)})",
        "",
        _INSTALL.get(flavour, f"install NVIDIA's tensorrt wheels, version {flavour}"),
    )


class TensorRTBackend:
    """One GPU."""

    name = "tensorrt"

    def __init__(self, trt: Any, options: Options, gpu: Gpu, memory: Memory, cuda: Any) -> None:
        self.memory = memory
        self._trt = trt
        self._options = options
        self._gpu = gpu
        self._cuda = cuda
        self._errors: list[str] = []
        self._loading = threading.Lock()  # or one graph's refusal would have another's words
        self._logger = _logger(trt, self._errors)
        self._runtime = trt.Runtime(self._logger)
        if hasattr(self._runtime, "engine_host_code_allowed"):
            self._runtime.engine_host_code_allowed = False

    def load(self, spec: EngineSpec) -> Engine:
        """See ``Backend.load``.

        Raises:
            BackendError: no engine (V2V-E4005), one that is not trusted (V2V-E4401), refused by TensorRT
                (V2V-E4405), or with other ports than the manifest's (V2V-E4008).
        """
        if spec.engine is None:
            raise BackendError(
                "V2V-E4005",
                f"graph {spec.graph!r} has no engine in this target",
                "one engine per graph",
                "build the target again, or play the bundle with backend onnxruntime",
            )
        data = spec.engine()
        sha256 = hashlib.sha256(data).hexdigest()
        self._require_trust(spec.graph, sha256)
        with self._loading:
            self._errors.clear()
            engine = self._runtime.deserialize_cuda_engine(data)
            if engine is None:
                raise BackendError(
                    "V2V-E4405",
                    f"TensorRT {self._trt.__version__} refuses the engine of graph {spec.graph!r}: "
                    + last_words(self._errors),
                    "an engine that was built by this version for this GPU",
                    "build the bundle again here",
                )
        check_ports(self._trt, engine, spec)
        cache = JitCache(f"{sha256} {self._trt.__version__} {self._gpu.name} {self._gpu.driver}")
        return TensorRTEngine(engine, spec, self.memory, self._cuda, cache, self._errors)

    def close(self) -> None:
        self._runtime = None
        self._cuda.close()

    def _require_trust(self, graph: str, sha256: str) -> None:
        if not built_here(sha256) and sha256 not in self._options.trust:
            raise BackendError(
                "V2V-E4401",
                f"the engine of graph {graph!r} was not built here (sha256 {sha256})",
                "an engine of your own: one from elsewhere is native code of whoever built it",
                UNTRUSTED_FIX,
            )


def _logger(trt: Any, errors: list[str]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]  # a class of an untyped module
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if str(severity).endswith("ERROR"):
                errors.append(message)
                del errors[:-16]

    return Logger()

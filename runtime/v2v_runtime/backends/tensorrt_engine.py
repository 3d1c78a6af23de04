"""A loaded TensorRT engine: its ports, its contexts, and runs that are bound beforehand. See ``tensorrt``."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from v2v_runtime.backends.base import EngineSpec, Memory, Port, Run, Tensor
from v2v_runtime.backends.jit_cache import JitCache
from v2v_runtime.errors import BackendError


def last_words(errors: list[str]) -> str:
    """What TensorRT said last, on one line."""
    return " ".join(" ".join(errors[-2:]).split()) or "it gave no reason"


def check_ports(trt: Any, engine: Any, spec: EngineSpec) -> None:
    """Compares an engine's ports with the manifest's.

    Raises:
        BackendError: they differ (V2V-E4008).
    """
    found: dict[str, tuple[str, Any, tuple[int, ...]]] = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        kind = "input" if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else "output"
        dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
        found[name] = (kind, dtype, tuple(engine.get_tensor_shape(name)))
    wanted = {port.name: ("input", port) for port in spec.inputs}
    wanted |= {port.name: ("output", port) for port in spec.outputs}
    for name in sorted(set(found) | set(wanted)):
        if name in found and name in wanted and _fits(found[name], *wanted[name]):
            continue
        seen = "missing" if name not in found else "{} {} {}".format(*found[name])
        expected = "no such port, as the manifest declares"
        if name in wanted:
            kind, port = wanted[name]
            expected = f"{kind} {port.dtype} {port.shape}, as the manifest declares"
        raise BackendError(
            "V2V-E4008",
            f"port {name!r} of the engine of graph {spec.graph!r} is {seen}",
            expected,
            "build the bundle again",
        )


def _fits(found: tuple[str, Any, tuple[int, ...]], kind: str, port: Port) -> bool:
    if found[:2] != (kind, port.dtype) or len(found[2]) != len(port.shape):
        return False
    # Axis 0 of rows is open, or it is that of the first shape profile.
    free = 1 if port.rows else 0
    return found[2][free:] == port.shape[free:]


class TensorRTEngine:
    """One engine with one context per shape profile, all on the backend's CUDA stream."""

    def __init__(
        self, engine: Any, spec: EngineSpec, memory: Memory, cuda: Any, cache: JitCache, errors: list[str]
    ) -> None:
        self._engine = engine
        self._spec = spec
        self._memory = memory
        self._cuda = cuda
        self._cache = cache
        self._errors = errors
        # Streams that share the engine share its contexts: addresses are set and the run is queued in one go.
        self._lock = threading.Lock()
        self._contexts: dict[int, _Context] = {}
        self._waste: dict[str, Tensor] = {}

    def bind(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> Run:
        with self._lock:
            tensors = {**inputs, **outputs, **self._thrown_away(outputs)}
            rows = {port.name: tensors[port.name].shape for port in self._spec.inputs if port.rows}
            context = self._context(rows)
        addresses = [(name, tensor.address) for name, tensor in tensors.items()]
        return _Run(self, context, addresses, tuple(tensors.values()))

    def close(self) -> None:
        with self._lock:
            self._contexts.clear()
            self._waste.clear()
            self._engine = None

    def run(self, context: _Context, run: _Run) -> None:
        """Queues one run on the stream."""
        with self._lock:
            self._cuda.select()
            self._errors.clear()
            if context.bound() is not run:
                # Not bound before every address is: a refusal half way leaves nothing that looks ready.
                context.bound = _nothing
                for name, address in run.addresses:
                    self._demand(context.context.set_tensor_address(name, address))
                context.bound = weakref.ref(run)
            self._demand(context.context.execute_async_v3(self._cuda.stream))

    def _thrown_away(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every output needs an address: those that nobody wants share one tensor each."""
        for port in self._spec.outputs:
            if port.name not in outputs and port.name not in self._waste:
                self._waste[port.name] = self._memory.allocate(port.dtype, port.shape)
        return {name: tensor for name, tensor in self._waste.items() if name not in outputs}

    def _context(self, rows: Mapping[str, tuple[int, ...]]) -> _Context:
        """The context of the shape profile for these rows; made, and its kernels compiled, when first met."""
        profile = 0
        if rows:
            count = next(iter(rows.values()))[0]
            if count not in self._spec.buckets:
                raise BackendError(
                    "V2V-E4008",
                    f"{count} rows at graph {self._spec.graph!r}",
                    f"one of its buckets: {', '.join(map(str, self._spec.buckets))}",
                    "build the bundle again",
                )
            profile = self._spec.buckets.index(count)
        if profile not in self._contexts:
            self._cuda.select()
            context = self._cache.create_context(self._engine)
            if context is None:
                raise BackendError(
                    "V2V-E4405",
                    f"TensorRT makes no context for graph {self._spec.graph!r}: {last_words(self._errors)}",
                    "room for the engine's activations on the GPU",
                    "free some of the GPU's memory",
                )
            if rows:
                self._demand(context.set_optimization_profile_async(profile, self._cuda.stream))
                for name, shape in rows.items():
                    self._demand(context.set_input_shape(name, shape))
            self._contexts[profile] = _Context(context)
        return self._contexts[profile]

    def _demand(self, good: bool) -> None:
        if not good:
            words = last_words(self._errors)
            raise BackendError("V2V-E4007", f"TensorRT, graph {self._spec.graph!r}: {words}")


def _nothing() -> None:
    """No run."""


@dataclass(slots=True, eq=False)
class _Context:
    """A context, and the run whose addresses it holds: a weak reference, so that a closed stream's go."""

    context: Any
    bound: Callable[[], _Run | None] = _nothing


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Run:
    """One set of addresses; keeps the tensors alive."""

    engine: TensorRTEngine
    context: _Context
    addresses: list[tuple[str, int]]
    kept: tuple[Tensor, ...]

    def __call__(self) -> None:
        self.engine.run(self.context, self)

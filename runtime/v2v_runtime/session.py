"""A session: one bundle's engines and constants on one device, shared by every stream that plays it there."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from v2v_runtime.backends.base import Array, Backend, Engine, EngineSpec, Port, Tensor
from v2v_runtime.dtypes import concrete, numpy_dtype
from v2v_runtime.errors import BackendError
from v2v_runtime.manifest.model import BlobRef, Call, DType, Manifest, Program, TensorSpec


class BundleSource(Protocol):
    """What a session needs of a bundle; ``Bundle`` is one, and tests have one in memory."""

    @property
    def manifest(self) -> Manifest: ...

    def blob(self, ref: BlobRef) -> Array:
        """The tensor that a reference names."""

    def graph_path(self, variant: str, graph: str) -> Path:
        """The path of a graph's ONNX file in a variant."""


class Session:
    """Engines, constants and call settings of one variant. Thread-safe.

    Attributes:
        manifest, program: of the bundle.
        bundle: what it plays.
        backend: opened; the session closes it.
        variant: the variant's name.
        float_type: what ``"float"`` is in it.
        consts: name -> tensor, never written again.
    """

    def __init__(
        self,
        bundle: BundleSource,
        variant: str,
        backend: Backend,
        engines: Mapping[str, Callable[[], bytes]] | None = None,
    ) -> None:
        """Uploads the constants and loads every graph that is always resident.

        Args:
            bundle: an opened bundle.
            variant: one of the manifest's variants.
            backend: opened; closed with the session.
            engines: graph -> what reads its engine; a graph without one is loaded from its ONNX file.

        Raises:
            BackendError: an engine could not be loaded.
        """
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.program: Program = bundle.manifest.program
        self.variant = variant
        self.float_type: str = self.manifest.variants[variant].float
        self.backend = backend
        self._engine_files = dict(engines or {})
        self._lock = threading.RLock()
        self._settled = threading.Condition(self._lock)
        self._engines: dict[str, Engine] = {}
        self._holders: dict[str, int] = {}
        #: Graphs that nobody holds and that a thread loads or frees outside of the lock.
        self._busy: set[str] = set()
        self._const_parts: dict[tuple[str, int, int], Tensor] = {}
        self._users = 0
        self._closed = False
        self._overrides = self.manifest.variants[variant].calls
        try:
            self.consts = {
                name: self.upload(const.dtype, const.shape, const.blob)
                for name, const in self.program.consts.items()
            }
            self.hold(self.resident_graphs())
        except BaseException:
            self.close()
            raise

    def resident_graphs(self) -> tuple[str, ...]:
        """The graphs that some call runs and that are always resident."""
        called = {call.graph for phase in self.program.phases for call in phase.calls}
        return tuple(sorted(name for name in called if self.manifest.graphs[name].resident == "always"))

    def upload(self, dtype: DType, shape: tuple[int, ...], ref: BlobRef) -> Tensor:
        """A new tensor that holds a blob, cast to the variant's float where it is ``"float"``."""
        tensor = self.backend.memory.allocate(*concrete(TensorSpec(dtype, shape), self.float_type))
        tensor.write(self.array(dtype, shape, ref))
        return tensor

    def blob(self, dtype: DType, shape: tuple[int | None, ...], ref: BlobRef) -> Array:
        """A blob as stored, if it is what the manifest declares; None stands for any size.

        The manifest agreed with the file when the bundle was opened; the file may have been replaced since.

        Raises:
            BackendError: V2V-E4014: it is of another type or shape.
        """
        array = np.asarray(self.bundle.blob(ref))
        stored = np.dtype("float32" if dtype == "float" else dtype)
        fits = len(shape) == array.ndim and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if array.dtype != stored or not fits:
            raise BackendError(
                "V2V-E4014",
                f"blob {ref.file}:{ref.tensor} is {array.dtype} {list(array.shape)}",
                f"{stored} {['any' if size is None else size for size in shape]}, as the manifest declares",
                "build the bundle again",
            )
        return array

    def array(self, dtype: DType, shape: tuple[int, ...], ref: BlobRef) -> Array:
        """A blob as a host array of the concrete type."""
        array = self.blob(dtype, shape, ref)
        return np.ascontiguousarray(array.astype(numpy_dtype(dtype, self.float_type), copy=False))

    def const_part(self, name: str, start: int, length: int) -> Tensor:
        """A view of a const, or a copy of it where the view does not lie where graphs can read."""
        view = self.consts[name].view(start, length)
        if view.address % self.backend.memory.alignment == 0:
            return view
        with self._lock:
            key = name, start, length
            if key not in self._const_parts:
                self._const_parts[key] = self.backend.memory.allocate(view.dtype, view.shape)
                self._const_parts[key].copy_from(view)
            return self._const_parts[key]

    def in_place(self, phase: str, call: Call) -> tuple[str, ...]:
        """The in-place ports of a call in this variant."""
        override = self._overrides.get(f"{phase}/{call.name}")
        return call.in_place if override is None or override.in_place is None else override.in_place

    def buckets(self, phase: str, call: Call) -> tuple[int, ...]:
        """The row buckets of a call in this variant; empty without ``rows``."""
        if call.rows is None:
            return ()
        override = self._overrides.get(f"{phase}/{call.name}")
        return call.rows.buckets if override is None or override.buckets is None else override.buckets

    def loaded(self) -> set[str]:
        """The graphs that are loaded now."""
        with self._lock:
            return set(self._engines)

    def engine(self, graph: str) -> Engine:
        """A loaded engine; the caller holds its graph (V2V-E4007: nobody does)."""
        engine = self._engines.get(graph)
        if engine is None:
            raise BackendError("V2V-E4007", f"graph {graph!r} is not loaded")
        return engine

    def hold(self, graphs: Iterable[str]) -> None:
        """Loads graphs that nobody holds yet, and holds them all; all of them or none.

        Other streams go on meanwhile; one that wants a graph that is being loaded, or freed, waits for that.

        Raises:
            BackendError: one could not be loaded.
        """
        held: list[str] = []
        try:
            for graph in graphs:
                self._hold(graph)
                held.append(graph)
        except BaseException:
            self.release(held)
            raise

    def release(self, graphs: Iterable[str]) -> None:
        """Lets graphs go; what nobody holds any more is freed."""
        for graph in graphs:
            with self._lock:
                self._holders[graph] -= 1
                if self._holders[graph]:
                    continue
                self._busy.add(graph)
                engine = self._engines.pop(graph)
            try:
                engine.close()
            finally:
                self._settle(graph)

    def _hold(self, graph: str) -> None:
        with self._settled:
            self._settled.wait_for(lambda: graph not in self._busy)
            if self._holders.get(graph):
                self._holders[graph] += 1
                return
            self._busy.add(graph)
        try:
            engine = self.backend.load(self._spec(graph))
            with self._lock:
                self._engines[graph] = engine
                self._holders[graph] = 1
        finally:
            self._settle(graph)

    def _settle(self, graph: str) -> None:
        with self._settled:
            self._busy.discard(graph)
            self._settled.notify_all()

    def attach(self) -> None:
        """Counts one more stream."""
        with _lock:
            self._users += 1

    def detach(self) -> None:
        """Counts one stream less; the last one closes the session."""
        with _lock:
            self._users -= 1
            if self._users == 0:
                self.close()

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Frees engines and backend. Streams that still play must be closed before."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for engine in self._engines.values():
                engine.close()
            self._engines.clear()
            self._holders.clear()
            self.consts = {}
            self._const_parts = {}
            self.backend.close()

    def _spec(self, graph: str) -> EngineSpec:
        declared = self.manifest.graphs[graph]
        row_ports: set[str] = set()
        buckets: set[int] = set()
        for phase in self.program.phases:
            for call in phase.calls:
                if call.graph == graph and call.rows is not None:
                    row_ports.update(call.rows.ports)
                    buckets.update(self.buckets(phase.name, call))

        def ports(specs: Mapping[str, TensorSpec]) -> tuple[Port, ...]:
            return tuple(
                Port(name, *concrete(spec, self.float_type), rows=name in row_ports)
                for name, spec in specs.items()
            )

        return EngineSpec(
            graph=graph,
            onnx=self.bundle.graph_path(self.variant, graph),
            engine=self._engine_files.get(graph),
            inputs=ports(declared.inputs),
            outputs=ports(declared.outputs),
            buckets=tuple(sorted(buckets)),
        )


#: Guards the tables below and every session's count of streams, so that none is handed out while it closes.
_lock = threading.RLock()
_made = threading.Condition(_lock)
_shared: weakref.WeakKeyDictionary[Any, dict[Hashable, weakref.ref[Session]]] = weakref.WeakKeyDictionary()
_making: weakref.WeakKeyDictionary[Any, set[Hashable]] = weakref.WeakKeyDictionary()


def shared_session(bundle: BundleSource, key: Hashable, make: Callable[[], Session]) -> Session:
    """The open session of a bundle under ``key``, or a new one from ``make()``; attached once for the caller.

    Two threads that ask at the same time get the same session: the second waits until the first has made it.
    Other sessions go on meanwhile.
    """
    with _made:
        sessions = _shared.setdefault(bundle, {})
        making = _making.setdefault(bundle, set())
        _made.wait_for(lambda: key not in making)
        reference = sessions.get(key)
        session = reference() if reference is not None else None
        if session is not None and not session.closed:
            session.attach()
            return session
        making.add(key)
    try:
        session = make()
        with _lock:
            sessions[key] = weakref.ref(session)
            session.attach()
        return session
    finally:
        with _made:
            making.discard(key)
            _made.notify_all()

"""The contract of a builder: what turns one exported graph into one engine for one profile.

A builder is one file of this folder, named as the backend it builds for, with a module attribute
``BUILDER``. Every engine is built in a child process (``child``): a vendor's builder may end its process, may
need its libraries found before the process starts, and can be stopped at once in no other way. So what
crosses is plain data, written as JSON.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from v2v_export.errors import BuildError

_HELPERS = frozenset({"base", "child", "key", "spawn"})
"""Modules of this folder that are no builders. Names that start with an underscore are none either."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a builder can work here.

    Attributes:
        ok: it can.
        reason: why not, and what to install; empty when it can.
        version: the exact version of what builds, part of the engine key; empty when it cannot.
    """

    ok: bool
    reason: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One engine to build, as plain data: it crosses to the child process as JSON.

    Attributes:
        backend: the builder's name.
        graph: the graph's name in the manifest.
        model: absolute path of the ONNX file; its weights lie beside it.
        workdir: absolute path of an existing, empty folder that takes the engine's files.
        float: what ``"float"`` is in this variant.
        profile: the resolved profile, as ``dataclasses.asdict`` writes it.
        options: ``Builder.options`` of that profile.
        buckets: port -> its row counts on axis 0, strictly rising; static ports are left out.
    """

    backend: str
    graph: str
    model: str
    workdir: str
    float: Literal["float16", "float32"]
    profile: Mapping[str, Any]
    options: Mapping[str, Any]
    buckets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``json`` writes and ``from_json`` reads back."""
        data = asdict(self)
        data["buckets"] = {port: list(rows) for port, rows in self.buckets.items()}
        return data

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> EngineRequest:
        """The request that ``to_json`` wrote."""
        buckets = {port: tuple(rows) for port, rows in data["buckets"].items()}
        return EngineRequest(**{**data, "buckets": buckets})


@dataclass(frozen=True, slots=True)
class EngineResult:
    """What a builder made.

    Attributes:
        engine: the engine's file name in the work folder; None: the graph runs from its ONNX file.
        counters: exact counters of this engine (kernels by type, engine bytes, ...), plain JSON.
        peak_memory: the child's peak resident memory in bytes; filled in by the child itself.
    """

    engine: str | None
    counters: Mapping[str, Any] = field(default_factory=dict)
    peak_memory: int = 0


class Report(Protocol):
    """Takes the progress of one engine build: ``report("tactics", 3, 40)``; None where a count is unknown."""

    def __call__(self, phase: str, done: int | None = None, total: int | None = None) -> None: ...


@runtime_checkable
class Builder(Protocol):
    """See the module's docstring. Implementations are stateless, and import their backend lazily.

    Attributes:
        name: the backend's name, and the file's.
        fuses: its engines make one kernel of several nodes, and store nothing in between.
    """

    name: str
    fuses: bool

    def available(self) -> Availability:
        """Whether ``build`` can work here. Cheap: it imports no backend."""

    def options(self, profile: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the backend must be given to build and to play this profile; recorded in ``target.json``.

        Raises:
            BuildError: this backend cannot build for that profile (V2V-E7110).
        """

    def fingerprint(self, profile: Mapping[str, Any]) -> Mapping[str, Any]:
        """What else an engine depends on, for its key: flavour, custom-op kernels and their hashes ..."""

    def environment(self) -> Mapping[str, str]:
        """Environment variables that must be set before the child starts (a library search path, say)."""

    def build(self, request: EngineRequest, report: Report) -> EngineResult:
        """Builds the engine into ``request.workdir``. Called in the child process only."""


def builders() -> tuple[str, ...]:
    """The names of all builders, sorted."""
    package = importlib.import_module(__package__)
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in names if name not in _HELPERS and not name.startswith("_")))


def builder(name: str) -> Builder:
    """The builder for a backend.

    Raises:
        BuildError: no such builder (V2V-E7111).
    """
    if name not in builders():
        near = difflib.get_close_matches(name, builders(), 1)
        raise BuildError(
            "V2V-E7111",
            f"no builder for backend {name!r}",
            f"one of {', '.join(builders())}",
            f"did you mean {near[0]!r}?" if near else "correct the profile's backend",
        )
    found = importlib.import_module(f"{__package__}.{name}").BUILDER
    if not isinstance(found, Builder) or found.name != name:
        raise BuildError(
            "V2V-E7111",
            f"targets/{name}.py holds no builder of that name",
            "a BUILDER whose name is the file's",
        )
    return found

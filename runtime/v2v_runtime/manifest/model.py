"""The manifest's types: what ``bundle.json`` and ``target.json`` say, as frozen dataclasses.

This module, with ``program``, is the one definition of the schema. ``parse`` reads JSON into these types
strictly (the field names are the JSON keys), ``validate`` checks what types cannot say, ``canonical`` writes
them back, and the JSON Schema for editors is generated from them. Optional keys have a default here; writing
the default and leaving the key out mean the same, and the canonical form leaves it out. What ``Annotated``
attaches (a pattern, a range, a length) is checked when JSON is read; objects made in Python are checked when
they are written.

The order of an object's keys has no meaning anywhere: ports, slots and graphs are found by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from v2v_runtime.manifest.constraints import (
    AnyPath,
    Bytes,
    CallPath,
    Few,
    GraphPath,
    Level,
    Name,
    Positive,
    Sha256,
    Some,
    SomeFiles,
    Title,
)
from v2v_runtime.manifest.program import (
    BUILTINS,
    Binding,
    BlobRef,
    Call,
    Changed,
    Const,
    DType,
    Emit,
    Every,
    FrameSpec,
    Graph,
    Limits,
    Param,
    Phase,
    Program,
    Ring,
    Rows,
    Skip,
    Slot,
    TensorSpec,
    View,
)

__all__ = [
    "BUILTINS",
    "BUNDLE_SCHEMA",
    "TARGET_SCHEMA",
    "Binding",
    "BlobRef",
    "Call",
    "CallOverride",
    "Changed",
    "Const",
    "DType",
    "Emit",
    "Every",
    "FileEntry",
    "FrameSpec",
    "Graph",
    "Limits",
    "Manifest",
    "Param",
    "Phase",
    "Program",
    "Ring",
    "Rows",
    "SelfTest",
    "Skip",
    "Slot",
    "Target",
    "TensorSpec",
    "Variant",
    "View",
]

BUNDLE_SCHEMA: Final = "v2v.bundle/1"
TARGET_SCHEMA: Final = "v2v.target/1"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of the bundle: path relative to its root, POSIX separators, no links, no ``..``."""

    path: AnyPath
    size: Bytes
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class CallOverride:
    """What a variant changes of one call; a None field keeps the program's own.

    ``in_place``: see ``Call``. ``buckets``: other buckets for this call's ``rows`` (same count and ports, and
    the same largest bucket).
    """

    in_place: tuple[Name, ...] | None = None
    buckets: Annotated[tuple[Positive, ...], Some] | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """One set of graph files for the program: a precision, a lowering, a calling form.

    Attributes:
        float: the concrete type of ``"float"``.
        graphs: graph -> path of its ONNX file in the bundle, ``graphs/...``; every graph of the manifest.
        calls: ``phase/call`` -> what changes for this variant.
    """

    float: Literal["float16", "float32"]
    graphs: Mapping[Name, GraphPath]
    calls: Mapping[CallPath, CallOverride] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Frames that the PyTorch reference made at build time, so that a bundle can check itself anywhere.

    Attributes:
        input: uint8 [N, H, W, 3].
        output: uint8 [M, H, W, 3], what the stream emits for them in order.
        tolerance: largest difference allowed, in uint8 levels, per float type: ``{"float32": 1, ...}``; one
            for the ``float`` of each variant.
    """

    input: BlobRef
    output: BlobRef
    tolerance: Annotated[Mapping[Name, Level], Some]


@dataclass(frozen=True, slots=True)
class Manifest:
    """``bundle.json``: at most 16 MiB, 64 levels deep, 65536 values (``strict_json``).

    Attributes:
        schema: ``v2v.bundle/1``; a higher major is refused.
        name: what people call this bundle.
        system: the system that it was built from.
        identity: sha256 over graphs, variants, program, self-test and files (``manifest.identity``); not over
            targets.
        files: every file under ``graphs/`` and ``blobs/``, sorted by path; no two differ in case alone.
        provenance: who made it: tool versions, the resolved recipe, weights' hashes. Free JSON, not in the
            identity.
    """

    schema: Literal["v2v.bundle/1"]
    name: Title
    system: Name
    identity: Sha256
    files: Annotated[tuple[FileEntry, ...], SomeFiles]
    graphs: Annotated[Mapping[Name, Graph], Some]
    variants: Annotated[Mapping[Name, Variant], Few]
    program: Program
    selftest: SelfTest | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """``targets/<profile>.<backend>/target.json``: one variant made ready for one profile.

    Attributes:
        schema: ``v2v.target/1``.
        bundle: the identity of the bundle that it belongs to.
        profile: profile name, such as ``rtx4090`` or ``cpu``.
        backend: ``onnxruntime`` or ``tensorrt``.
        variant: the variant that it plays.
        status: ``verified``: the machine that built it ran it, and it passed; ``built``: it was not run
            there, or compared with nothing, as ``verification`` says.
        engines: graph -> engine file in this folder; a graph without one runs from its ONNX file.
        files: every file of this folder but ``target.json``, sorted by path (relative to the folder).
        options: what the backend needs to give equal results everywhere (provider, threads, optimisation
            level, flavour, capabilities ...). Free JSON read by the backend.
        engine_key: graph -> the fields of its engine key.
        counters: graph -> exact counters (kernels by type, engine bytes, ...).
        verification: what was compared, with numbers, and what was not.
        provenance: free JSON.
    """

    schema: Literal["v2v.target/1"]
    bundle: Sha256
    profile: Name
    backend: Name
    variant: Name
    status: Literal["verified", "built"]
    files: tuple[FileEntry, ...] = ()
    engines: Mapping[Name, AnyPath] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    engine_key: Mapping[str, Any] = field(default_factory=dict)
    counters: Mapping[str, Any] = field(default_factory=dict)
    verification: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

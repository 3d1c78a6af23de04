"""Puts a bundle together beside its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_bundle, write_target
from v2v_runtime.manifest.model import (
    BUNDLE_SCHEMA,
    TARGET_SCHEMA,
    BlobRef,
    Manifest,
    SelfTest,
    Target,
    Variant,
)

from v2v_export.build.blobs import ProgramFiles
from v2v_export.build.engines import TargetEngines
from v2v_export.build.graphs import VariantGraphs
from v2v_export.build.selftest import FILE
from v2v_export.build.variants import TargetPlan
from v2v_export.errors import BuildError
from v2v_export.recipe import Recipe


def write_core(
    root: Path,
    recipe: Recipe,
    variants: Mapping[str, tuple[Literal["float16", "float32"], VariantGraphs]],
    program: ProgramFiles,
    provenance: Mapping[str, Any],
) -> Manifest:
    """Writes the bundle without targets to ``root``.

    Args:
        variants: name -> (what "float" is, files).

    Raises:
        BuildError: two variants have graphs of different ports (V2V-E7024).
    """
    sources: dict[str, bytes | Path] = dict(program.blobs)
    declared: dict[str, Variant] = {}
    first = next(iter(variants.values()))[1]
    for name, (kind, files) in variants.items():
        if files.graphs != first.graphs or files.taps != first.taps:
            raise BuildError(
                "V2V-E7024",
                f"variant {name} has other graphs, ports or taps than the first one",
                "the same names, types and shapes in every variant",
                "correct the system's graphs(): what varies is what float is, and how the graphs compute",
            )
        declared[name] = files.declared(kind)
        for file in (*files.files.values(), *((files.weights,) if files.weights else ())):
            sources[f"graphs/{file}"] = files.folder / file
    verify = recipe.verify
    selftest = SelfTest(
        BlobRef(FILE, "input"),
        BlobRef(FILE, "output"),
        {"float32": verify.levels_float32, "float16": verify.levels_float16},
    )
    manifest = Manifest(
        schema=BUNDLE_SCHEMA,
        name=recipe.name,
        system=recipe.system.name,
        identity="",
        files=(),
        graphs=first.graphs,
        variants=declared,
        program=program.program,
        selftest=selftest if FILE in program.blobs else None,
        provenance=provenance,
    )
    return write_bundle(root, manifest, graphs=sources)


def add_target(
    root: Path,
    plan: TargetPlan,
    engines: TargetEngines,
    *,
    status: str,
    verification: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Target:
    """Writes one target into the bundle at ``root``."""
    profile = plan.profile.to_dict()
    target = Target(
        schema=TARGET_SCHEMA,
        bundle="",
        profile=plan.profile.name,
        backend=plan.builder.name,
        variant=plan.variant,
        status="verified" if status == "verified" else "built",
        engines=engines.engines,
        options=dict(plan.builder.options(profile)),
        engine_key=engines.keys,
        counters=engines.counters,
        verification=verification,
        provenance={"profile": profile, **provenance},
    )
    return write_target(root, target, dict(engines.files))


def carry_target(root: Path, old: Bundle, name: str) -> Target:
    """Copies a target of another bundle of the same making into the one at ``root``."""
    target = old.targets()[name]
    old.verify_target_files(target)
    folder = old.target_path(target)
    return write_target(root, target, {entry.path: folder / entry.path for entry in target.files})

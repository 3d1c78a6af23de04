"""The stage ``engine``: one engine per graph of a target, each in a child process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from v2v_runtime.manifest.encode import to_json
from v2v_runtime.manifest.model import Graph, Program

from v2v_export.build.context import Context
from v2v_export.build.graphs import VariantGraphs
from v2v_export.build.variants import TargetPlan
from v2v_export.targets.base import EngineRequest
from v2v_export.targets.key import engine_key, explain_difference
from v2v_export.targets.spawn import build_engine

_RESULT = "result.json"


@dataclass(frozen=True)
class TargetEngines:
    """The engines of one target.

    Attributes:
        engines: graph -> file name in the target's folder; a graph without one runs from its ONNX file.
        files: file name -> where it is.
        counters: graph -> exact counters.
        keys: graph -> the fields of its engine key.
        peaks: graph -> peak resident memory of the process that built it, in bytes.
    """

    engines: dict[str, str]
    files: dict[str, Path]
    counters: dict[str, Any]
    keys: dict[str, dict[str, Any]]
    peaks: dict[str, int]


def row_buckets(program: Program) -> dict[str, dict[str, tuple[int, ...]]]:
    """graph -> port -> the row counts that any call runs it with; graphs without ``rows`` are left out."""
    found: dict[str, dict[str, set[int]]] = {}
    for phase in program.phases:
        for call in phase.calls:
            if call.rows is not None:
                for port in call.rows.ports:
                    found.setdefault(call.graph, {}).setdefault(port, set()).update(call.rows.buckets)
    return {
        graph: {port: tuple(sorted(rows)) for port, rows in ports.items()} for graph, ports in found.items()
    }


def target_keys(
    plan: TargetPlan,
    graphs: Mapping[str, Graph],
    hashes: Mapping[str, tuple[str, str | None]],
    program: Program,
) -> dict[str, dict[str, Any]]:
    """graph -> engine key.

    Args:
        hashes: graph -> sha256 of its ONNX file, and of its weights if it has any.
    """
    profile = plan.profile.to_dict()
    options = dict(plan.builder.options(profile))
    fingerprint = plan.builder.fingerprint(profile)
    buckets = row_buckets(program)
    keys = {}
    for name, graph in graphs.items():
        request = EngineRequest(
            plan.builder.name, name, "", "", plan.options.float, profile, options, buckets.get(name, {})
        )
        keys[name] = engine_key(
            request,
            graph_sha256=hashes[name][0],
            weights_sha256=hashes[name][1],
            shapes={port: to_json(spec) for port, spec in {**graph.inputs, **graph.outputs}.items()},
            version=plan.version,
            fingerprint=fingerprint,
        )
    return keys


def target_engines(
    context: Context,
    plan: TargetPlan,
    variant: VariantGraphs,
    keys: Mapping[str, dict[str, Any]],
    program: Program,
    before: Mapping[str, Any],
) -> TargetEngines:
    """The target's engines: from the store, or built.

    Args:
        keys: ``target_keys``.
        before: the keys of this target in the bundle that is to be replaced; a miss says what differs.
    """
    result = TargetEngines({}, {}, {}, dict(keys), {})
    buckets = row_buckets(program)
    for graph, key in keys.items():
        request = EngineRequest(
            backend=plan.builder.name,
            graph=graph,
            model=str(variant.folder / variant.files[graph]),
            workdir="",
            float=plan.options.float,
            profile=plan.profile.to_dict(),
            options=dict(plan.builder.options(plan.profile.to_dict())),
            buckets=buckets.get(graph, {}),
        )
        why = explain_difference(before[graph], key) if graph in before else None

        def produce(folder: Path, request: EngineRequest = request, why: str | None = why) -> None:
            if why:
                context.note(f"{plan.name}: the engine of {request.graph} is built again: {why}")
            _produce(context, plan, request, folder)

        folder = context.cached(f"engine {plan.name} {graph}", "engine", key, produce)
        made = json.loads((folder / _RESULT).read_text(encoding="utf-8"))
        result.counters[graph] = made["counters"]
        result.peaks[graph] = made["peak_memory"]
        if made["engine"] is not None:
            result.engines[graph] = made["engine"]
        for name in made["files"]:
            result.files[name] = folder / name
    return result


def _produce(context: Context, plan: TargetPlan, request: EngineRequest, folder: Path) -> None:
    context.release_model()
    environment = plan.builder.environment()
    made = build_engine(replace(request, workdir=str(folder)), context.progress.step, environment)
    document = {
        "engine": made.engine,
        "counters": dict(made.counters),
        "peak_memory": made.peak_memory,
        "files": sorted(path.name for path in folder.iterdir() if path.is_file()),
    }
    (folder / _RESULT).write_text(json.dumps(document), encoding="utf-8")

"""The stage ``memory``: whether a target fits its GPU, asked before its engines take time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v2v_runtime.manifest.model import Graph, Program, Variant

from v2v_export.build.context import Context
from v2v_export.build.graphs import VariantGraphs
from v2v_export.build.variants import TargetPlan
from v2v_export.errors import ModelError
from v2v_export.levers import levers
from v2v_export.system import GraphOptions, Model

if TYPE_CHECKING:
    from v2v_export.explain.memory import MemoryEstimate
    from v2v_export.profiles import Profile

_FILE = "estimate.json"


def refuse_oversize(context: Context, plan: TargetPlan) -> None:
    """Refuses a target that cannot fit its GPU whatever its graphs come out like, before there are any.

    Raises:
        RecipeError: V2V-E5201, with the levers that help.
    """
    if plan.profile.compute_capability is None:
        return
    from v2v_export.explain.memory import check_memory

    estimate = declared_memory(context.model(), plan.options, plan.profile)
    check_memory(estimate, plan.profile, levers(context.recipe.options))


def declared_memory(model: Model, options: GraphOptions, profile: Profile) -> MemoryEstimate:
    """What a model declares to need at the least; see ``explain.memory.least_memory``."""
    from v2v_export.explain.memory import least_memory

    graphs = {spec.name: Graph(spec.inputs, spec.outputs, spec.resident) for spec in model.graphs(options)}
    variant = Variant(options.float, {}, model.overrides(options))
    return least_memory(model.program(), graphs, model.weight_counts(), variant, profile)


def target_memory(
    context: Context, plan: TargetPlan, files: VariantGraphs, keys: Mapping[str, Any], program: Program
) -> dict[str, Any] | None:
    """The estimate in bytes, as plain JSON; None for a CPU, whose memory is the user's own affair.

    Raises:
        RecipeError: the stream cannot fit, with the levers that help (V2V-E5201).
    """
    if plan.profile.compute_capability is None:
        return None

    def produce(folder: Path) -> None:
        document = _estimate(context, plan, files, program)
        (folder / _FILE).write_text(json.dumps(document), encoding="utf-8")

    key = {"core": dict(context.core), "engines": dict(keys)}
    folder = context.cached(f"memory {plan.name}", "memory", key, produce)
    found: dict[str, Any] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    return found


def _estimate(context: Context, plan: TargetPlan, files: VariantGraphs, program: Program) -> dict[str, Any]:
    from v2v_export.explain import check_memory, explain

    context.progress.step("estimating")
    paths = {graph: files.folder / name for graph, name in files.files.items()}
    try:
        declared = files.declared(plan.options.float)
        report = explain(program, files.graphs, declared, paths, plan.profile, backend=plan.builder.name)
    except ModelError as error:
        # A graph that cannot be counted can still be built; its engine's own figures will tell.
        context.note(f"{plan.name}: memory was not estimated: {error.seen}")
        return {"unknown": error.seen}
    check_memory(report.memory, plan.profile, levers(context.recipe.options))
    estimate: dict[str, Any] = report.to_dict()["memory"]
    return estimate

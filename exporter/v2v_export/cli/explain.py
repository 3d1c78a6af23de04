"""``v2v-export explain``: what a bundle costs on a GPU, and why an engine was built again."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from v2v_export.cli._session import Debug, Json, Session

if TYPE_CHECKING:
    from v2v_runtime.bundle import Bundle
    from v2v_runtime.manifest.model import Target

PANEL = "Look around"


def command(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder; or a recipe, before it is built.")],
    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu",
            "-g",
            metavar="PROFILE",
            help="A GPU to explain for, such as `rtx4090`, or `cpu`; may be given several times. Those of "
            "the bundle's targets if not given.",
        ),
    ] = None,
    key: Annotated[
        bool, typer.Option("--key", help="Show each engine's key, and what differs from one built now.")
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what each graph costs: multiply-adds, bytes, memory, and the least time a GPU could take.

    For example: `v2v-export explain my.v2v --gpu rtx4090`, or `v2v-export explain v2v.toml` before a build.

    The time is a roofline: no kernel can be faster, real ones are slower. With `--key`, what each engine
    depends on, and the first field that a build now would differ in.

    Of a recipe, what is known before any work: the weights' and the state's memory, and whether that can fit.
    """
    from v2v_runtime.bundle import Bundle

    session = Session.of(context)
    if bundle.suffix == ".toml":
        if key:
            raise typer.BadParameter("a recipe has no engines yet: --key is for a bundle")
        session.tell(_explain_recipe(session, bundle, profile))
        return
    opened = Bundle.open(bundle, verify="sizes")
    if key:
        session.tell(_explain_keys(session, opened))
        return
    session.tell(_explain_costs(session, opened, profile))


def _explain_recipe(session: Session, path: Path, names: list[str] | None) -> Any:
    """The memory that a recipe's stream takes at the least; nothing is loaded or traced for it.

    Raises:
        RecipeError: it does not fit one of the profiles (V2V-E5201), after all of them are shown.
    """
    from dataclasses import asdict

    from v2v_export.build.memory import declared_memory
    from v2v_export.build.variants import graph_options
    from v2v_export.explain.memory import check_memory
    from v2v_export.explain.table import print_memory
    from v2v_export.levers import levers
    from v2v_export.profiles import load_profile
    from v2v_export.recipe import load_recipe
    from v2v_export.remarks import told as remarks_told

    recipe = load_recipe(path)
    with remarks_told(lambda text: session.log.print(text, style="yellow", markup=False)):
        model = recipe.system.load(recipe.weights, recipe.options, recipe.size)
    told, judged = [], []
    for name in names or recipe.profiles:
        profile = recipe.profile(load_profile(name))
        options = graph_options(profile, profile.backend, recipe.system)
        estimate = declared_memory(model, options, profile)
        print_memory(session.out, estimate, profile, options.float)
        told.append(
            {"profile": profile.name, "float": options.float, **asdict(estimate), "total": estimate.total}
        )
        if profile.compute_capability is not None:
            judged.append((estimate, profile))
    for estimate, profile in judged:
        check_memory(estimate, profile, levers(recipe.options))
    return told


def _explain_costs(session: Session, bundle: Bundle, names: list[str] | None) -> Any:
    from v2v_export.explain import explain
    from v2v_export.explain.table import report_table
    from v2v_export.profiles import load_profile

    targets = bundle.targets()
    told = []
    for name in names or list(dict.fromkeys(target.profile for target in targets.values())) or ["cpu"]:
        profile = load_profile(name)
        target = next((t for t in targets.values() if t.profile == profile.name), None)
        variant = target.variant if target else _variant_for(bundle, profile.float_type)
        files = {graph: bundle.graph_path(variant, graph) for graph in bundle.manifest.graphs}
        report = explain(
            bundle.manifest.program,
            bundle.manifest.graphs,
            bundle.manifest.variants[variant],
            files,
            profile,
            target.counters if target else None,
            backend=target.backend if target else None,
        )
        session.out.print(report_table(report))
        told.append({"variant": variant, **report.to_dict()})
    return told


def _variant_for(bundle: Bundle, float_type: str) -> str:
    """A variant of that precision, or else the first one."""
    variants = bundle.manifest.variants
    return next((name for name, v in variants.items() if v.float == float_type), next(iter(variants)))


def _explain_keys(session: Session, bundle: Bundle) -> Any:
    """Each engine's key as recorded, beside the one that a build here and now would have."""
    from v2v_export.targets.key import explain_difference

    told: dict[str, Any] = {}
    for name, target in bundle.targets().items():
        now, problem = _keys_now(bundle, target)
        told[name] = {}
        session.out.print(f"[bold]{name}[/]")
        if problem:
            session.out.print(f"  [yellow]{problem}[/]")
        for graph, recorded in target.engine_key.items():
            miss = explain_difference(recorded, now[graph]) if graph in now else None
            told[name][graph] = {"key": recorded, "differs": miss}
            verdict = (
                f"[yellow]would be built again: {miss}[/]" if miss else "[green]as it would be built now[/]"
            )
            session.out.print(f"  [bold]{graph}[/]  {verdict if graph in now else ''}")
            for field, value in recorded.items():
                text = jsonlib.dumps(value) if isinstance(value, Mapping) else str(value)
                short = text if len(text) <= 72 else f"{text[:69]}..."
                session.out.print(f"    {field:18} {short}", markup=False, soft_wrap=True)
    return told


def _keys_now(bundle: Bundle, target: Target) -> tuple[dict[str, dict[str, Any]], str]:
    """The keys that this target's engines would have now, or why that cannot be said."""
    from v2v_export.build.engines import target_keys
    from v2v_export.build.variants import TargetPlan
    from v2v_export.bundle_model import variant_options
    from v2v_export.errors import V2VError
    from v2v_export.profiles import load_profile
    from v2v_export.targets.base import builder

    try:
        profile, found = load_profile(target.profile), builder(target.backend)
        state = found.available()
        if not state.ok:
            return {}, f"{target.backend} cannot build here: {state.reason}"
        options = variant_options(bundle, target.variant)
        plan = TargetPlan(profile, found, state.version, target.variant, options)
        return target_keys(plan, bundle.manifest.graphs, _hashes(bundle, target), bundle.manifest.program), ""
    except V2VError as error:
        return {}, error.seen


def _hashes(bundle: Bundle, target: Target) -> dict[str, tuple[str, str | None]]:
    """graph -> sha256 of its ONNX file and of its weights, as the manifest lists them."""
    known = {entry.path: entry.sha256 for entry in bundle.manifest.files}
    paths = bundle.manifest.variants[target.variant].graphs
    weights = known.get(f"graphs/{target.variant}.weights")
    return {graph: (known[path], weights) for graph, path in paths.items()}

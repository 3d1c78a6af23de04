"""Diffusion streams at their real size: traced, built for a GPU that is not here, verified within a budget.

One row per recipe ``examples/*/real.toml``; weights are ``random:0``. What is measured is the command line's
own ``build`` from nothing, in a process of its own.
"""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from v2v_export.explain.state import count_state
from v2v_export.progress import Progress
from v2v_runtime.bundle import Bundle

from _real.case import GPU
from _real.findings import Finding, Part, table
from _real.memory import told_targets
from _real.watched import Watched, watch_build

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Limits:
    """What one system's build may take: seconds to trace its dearest graph, seconds to build its dearest
    engine, bytes (10^9) of the largest process."""

    trace: float = 120.0
    engine: float = 120.0
    memory_gb: float = 14.0


@dataclass(frozen=True)
class Network:
    """The UNet of a system's recipe: its graph, and the attentions of its spatial transformers, self and
    cross: 16 of SD1.5's, 70 of SDXL's."""

    graph: str
    attentions: int


NETWORKS: Mapping[str, Network] = {
    "stream_diffusion": Network("unet_step", 2 * 16),
    "live2diff": Network("unet_step", 2 * 16),
    "std": Network("denoise", 2 * 70),
}

STATE_MIB: Mapping[str, float] = {"live2diff": 2 * 1450.0}
"""Examples folder -> MiB of K/V caches at the recipe's size: 1450 for each of two rows (method, 1.2)."""

STATE_SHARE = 0.02
"""What else a stream may hold beside them: latents, conditions, cross-attention's K/V."""


LIMITS: Mapping[str, Limits] = {"std": Limits(trace=300.0, engine=300.0, memory_gb=20.0)}
"""Examples folder -> limits where they are not the common ones: SDXL has three times SD1.5's weights."""


def recipes(folder: Path = EXAMPLES) -> dict[str, Path]:
    """Examples folder -> its real-size recipe, where it has one."""
    return {path.parent.name: path for path in sorted(folder.glob("*/real.toml"))}


def run(system: str, recipe: Path, work: Path, progress: Progress) -> Part:
    """Builds a recipe for one GPU; its files are deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"{system}-", dir=work) as name:
        folder = Path(name)
        copy = folder / recipe.name
        shutil.copyfile(recipe, copy)
        progress.start(f"{system}: build for {GPU} from nothing")
        watched = watch_build(copy, [GPU], folder, progress)
        progress.finish("failed" if watched.status else "done", watched.seconds)
        told = _told(watched, folder / "real.v2v")
    found = _findings(system, watched, told, LIMITS.get(system, Limits()))
    tables = [_summary(system, told), *([_graph_table(system, told)] if told["targets"] else [])]
    of, case = measured(recipe)
    return Part(found, tables, {"systems": {system: told}}, of, case)


def measured(recipe: Path) -> tuple[str, dict[str, Any]]:
    """The system of a recipe, and what else of it says what was built, as plain JSON."""
    given = tomllib.loads(recipe.read_text(encoding="utf-8"))
    tables = {name: given.get(name, {}) for name in ("weights", "options", "verify")}
    case = {"recipe": f"{recipe.parent.name}/{recipe.name}", **given["frame"], **tables, "gpu": GPU}
    return given["system"], case


def _told(watched: Watched, bundle: Path) -> dict[str, Any]:
    """Everything of one build, plain JSON."""
    told: dict[str, Any] = {
        "seconds": round(watched.seconds, 1),
        "status": watched.status,
        "largest_process_bytes": watched.process,
        "largest_process": watched.largest,
        "peak_bytes": watched.tree,
        "stages": watched.told.get("stages", []),
        "trace_seconds": {},
        "engine_seconds": {},
        "targets": {},
    }
    if watched.status:
        return told
    for stage in told["stages"]:
        if stage["name"].startswith("graphs "):
            told["trace_seconds"].update(stage["parts"])
        if stage["name"].startswith("engine "):
            told["engine_seconds"][stage["name"].rpartition(" ")[2]] = stage["seconds"]
    opened = Bundle.open(bundle, verify="sizes")
    told["targets"] = told_targets(opened)
    (target,) = opened.targets().values()
    manifest = opened.manifest
    state = count_state(manifest.program, manifest.graphs, manifest.variants[target.variant])
    told["state_bytes"] = sum(state.slots.values())
    told["state_bytes_with_commits"] = state.state
    return told


def _findings(system: str, watched: Watched, told: Mapping[str, Any], limits: Limits) -> list[Finding]:
    found = [
        Finding(f"{system}: exit status", abs(watched.status), 0, note=watched.log),
        Finding(
            f"{system}: largest process",
            watched.process / 1e9,
            limits.memory_gb,
            unit="GB",
            note=watched.largest,
        ),
    ]
    for words, key, limit in (
        ("seconds to trace", "trace_seconds", limits.trace),
        ("seconds to build the engine of", "engine_seconds", limits.engine),
    ):
        if told[key]:
            dearest = max(told[key], key=lambda graph: told[key][graph])
            found.append(Finding(f"{system}: {words} {dearest}", told[key][dearest], limit, unit="s"))
    if told["targets"]:
        found += _verified(system, told)
        found += _network(system, told)
    return found


def _verified(system: str, told: Mapping[str, Any]) -> list[Finding]:
    """Every graph against its module, and at least one step of the stream against the literal reference."""
    (target,) = told["targets"].values()
    verified = target["verification"]
    graphs = len(verified.get("graphs", {}))
    steps = verified.get("teacher_forced", {}).get("steps", 0)
    return [
        Finding(f"{system}: graphs compared with their modules", graphs, len(target["counters"]), "at least"),
        Finding(f"{system}: teacher-forced steps", steps, 1, "at least"),
    ]


def _network(system: str, told: Mapping[str, Any]) -> list[Finding]:
    """Every spatial attention fused; the state that the method's formula gives, and little beside it."""
    found = []
    if network := NETWORKS.get(system):
        (target,) = told["targets"].values()
        fused = target["counters"][network.graph]["attentions_fused"]
        words = f"{system}: fused attentions of {network.graph}"
        found.append(Finding(words, fused, network.attentions, "at least"))
    if caches := STATE_MIB.get(system):
        state = told["state_bytes"] / 2**20
        found.append(Finding(f"{system}: state", state, caches, "at least", "MiB"))
        found.append(Finding(f"{system}: state", state, caches * (1 + STATE_SHARE), "at most", "MiB"))
    return found


def _summary(system: str, told: Mapping[str, Any]) -> Table:
    shown = table(
        f"Diffusion streams at 512x512 for {GPU}, float16, from nothing",
        "system",
        "all s",
        "trace s",
        "engines s",
        "largest process GB",
        "state MiB",
    )
    shown.add_row(
        system,
        f"{told['seconds']:.0f}",
        f"{sum(told['trace_seconds'].values()):.0f}",
        f"{sum(told['engine_seconds'].values()):.0f}",
        f"{told['largest_process_bytes'] / 1e9:.1f}",
        f"{told.get('state_bytes', 0) / 2**20:.0f}",
    )
    return shown


def _graph_table(system: str, told: Mapping[str, Any]) -> Table:
    """One row per graph, and below them what was verified and what was not."""
    (target,) = told["targets"].values()
    shown = table(
        system, "graph", "trace s", "engine s", "kernels", "fused attentions", "engine MB", "scratch MB"
    )
    for graph, counters in target["counters"].items():
        shown.add_row(
            graph,
            f"{told['trace_seconds'].get(graph, 0):.1f}",
            f"{told['engine_seconds'].get(graph, 0):.1f}",
            str(counters.get("kernels")),
            str(counters.get("attentions_fused")),
            f"{(counters.get('engine_bytes') or 0) / 1e6:.1f}",
            f"{(counters.get('activation_bytes') or 0) / 1e6:.1f}",
        )
    verified = target["verification"]
    graphs = ", ".join(verified.get("graphs", {})) or "none"
    steps = verified.get("teacher_forced", {}).get("steps", 0)
    lines = [f"graphs against their modules: {graphs}; teacher-forced steps: {steps}"]
    lines += [f"not verified: {text}" for text in verified.get("not_verified", ())]
    shown.caption, shown.caption_justify = escape("\n".join(lines)), "left"
    return shown

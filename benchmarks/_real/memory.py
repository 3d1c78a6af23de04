"""Memory and time of a build from nothing; see ``watched``."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v2v_runtime.bundle import Bundle

from _real.case import GPU
from _real.findings import Finding, Part, table
from _real.watched import watch_build
from _real.workshop import Workshop

LIMIT_GB = 3.0
"""Of 10^9 bytes."""


def run(shop: Workshop) -> Part:
    """Builds for the CPU and for one GPU with a store of its own; verified, as a user's build is."""
    with tempfile.TemporaryDirectory(prefix="memory-", dir=shop.folder) as name:
        folder = Path(name)
        recipe = folder / "real.toml"
        recipe.write_text(shop.case.recipe("real", "shortcut"), encoding="utf-8")
        shop.progress.start(f"build for cpu and {GPU} from nothing")
        watched = watch_build(recipe, ["cpu", GPU], folder, shop.progress)
        shop.progress.finish("failed" if watched.status else "done", watched.seconds)
        built = watched.status == 0
        targets = told_targets(Bundle.open(folder / "real.v2v", verify="sizes")) if built else {}
    stages = watched.told.get("stages", [])
    shown = table("A build from nothing", "stage", "seconds")
    for stage in stages:
        shown.add_row(stage["name"], f"{stage['seconds']:.1f}")
    shown.add_row("all of it, the interpreter's start included", f"{watched.seconds:.1f}")
    counted = table(f"Engines of {GPU}, built here", "graph", "kernels", "engine MB", "activation MB")
    for target, told in targets.items():
        if target.startswith(f"{GPU}."):
            for graph, counters in told["counters"].items():
                counted.add_row(graph, *_engine_row(counters))
    words = f"build --gpu cpu --gpu {GPU}"
    found = [
        Finding(f"peak memory of {words}", watched.tree / 1e9, LIMIT_GB, unit="GB"),
        # A build that was stopped by a signal has a status below zero.
        Finding(f"exit status of {words}", abs(watched.status), 0, note=watched.log),
    ]
    details = {
        "peak_bytes": watched.tree,
        "largest_process_bytes": watched.process,
        "largest_process": watched.largest,
        "seconds": round(watched.seconds, 2),
        "stages": stages,
        "targets": targets,
    }
    return Part(found, [shown, counted], details)


def told_targets(bundle: Bundle) -> dict[str, Any]:
    """Target -> what its ``target.json`` says of its making."""
    told = {}
    for name, target in bundle.targets().items():
        told[name] = {
            "status": target.status,
            "variant": target.variant,
            # Which kernel each layer got fills pages, and the kernels' types say what matters.
            "counters": {
                graph: {key: value for key, value in counters.items() if key != "tactics"}
                for graph, counters in target.counters.items()
            },
            "verification": dict(target.verification),
            "build_peak_memory": target.provenance.get("build_peak_memory"),
            "memory_estimate": target.provenance.get("memory_estimate"),
        }
    return told


def _engine_row(counters: Mapping[str, Any]) -> tuple[str, str, str]:
    """Kernels, megabytes of the engine and of its activations, as far as this backend counts them."""

    def megabytes(key: str) -> str:
        return "-" if counters.get(key) is None else f"{counters[key] / 1e6:.1f}"

    return str(counters.get("kernels", "-")), megabytes("engine_bytes"), megabytes("activation_bytes")

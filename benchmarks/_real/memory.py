"""Memory and time of a build from nothing: the command line's own ``build``, in a process of its own.

The peak is that of the whole process tree, sampled: resident sizes summed, so that pages which processes
share count in each of them, which makes it an upper bound.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no stubs
from v2v_runtime.bundle import Bundle

from _real.case import GPU
from _real.findings import Finding, Part, table
from _real.workshop import Workshop

LIMIT_GB = 3.0
"""Of 10^9 bytes."""

SAMPLE_SECONDS = 0.03
_LOG_LINES = 20

_VERIFY = "tolerance_float16 = 0.03"
"""As the example recipe has it: the float16 part judges what random weights cost, this one only builds."""


def run(shop: Workshop) -> Part:
    """Builds for the CPU and for one GPU with a store of its own; verified, as a user's build is."""
    with tempfile.TemporaryDirectory(prefix="memory-", dir=shop.folder) as name:
        folder = Path(name)
        shop.progress.start(f"build for cpu and {GPU} from nothing")
        peak, status, seconds = _watched_build(shop, folder)
        shop.progress.finish("failed" if status else "done", seconds)
        stages: list[dict[str, Any]] = []
        targets: dict[str, Any] = {}
        note = ""
        if status == 0:
            stages = json.loads((folder / "told.json").read_text(encoding="utf-8"))["stages"]
            targets = _targets(Bundle.open(folder / "real.v2v", verify="sizes"))
        else:
            note = _end_of(folder / "log.txt").replace(str(folder), "...")
    shown = table("A build from nothing", "stage", "seconds")
    for stage in stages:
        shown.add_row(stage["name"], f"{stage['seconds']:.1f}")
    shown.add_row("all of it, the interpreter's start included", f"{seconds:.1f}")
    counted = table(f"Engines of {GPU}, built here", "graph", "kernels", "engine MB", "activation MB")
    for target, told in targets.items():
        if target.startswith(f"{GPU}."):
            for graph, counters in told["counters"].items():
                counted.add_row(graph, *_engine_row(counters))
    words = f"build --gpu cpu --gpu {GPU}"
    found = [
        Finding(f"peak memory of {words}", peak / 1e9, LIMIT_GB, unit="GB"),
        # A build that was stopped by a signal has a status below zero.
        Finding(f"exit status of {words}", abs(status), 0, note=note),
    ]
    details = {"peak_bytes": peak, "seconds": round(seconds, 2), "stages": stages, "targets": targets}
    return Part(found, [shown, counted], details)


def _watched_build(shop: Workshop, folder: Path) -> tuple[int, int, float]:
    """Peak bytes of the tree, exit status and seconds of ``v2v-export build``."""
    recipe = folder / "v2v.toml"
    recipe.write_text(shop.case.recipe("real", "shortcut", _VERIFY), encoding="utf-8")
    main = "import sys; from v2v_export.cli import main; sys.exit(main())"
    arguments = ["build", str(recipe), "--gpu", "cpu", "--gpu", GPU, "--json"]
    environment = {**os.environ, "V2V_CACHE": str(folder / "store")}
    begin = time.perf_counter()
    with (folder / "told.json").open("wb") as told, (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", main, *arguments], stdout=told, stderr=log, env=environment, cwd=folder
        )
        peak = 0
        try:
            root = psutil.Process(process.pid)
            while process.poll() is None:
                peak = max(peak, _resident(root))
                shop.progress.step(f"{time.perf_counter() - begin:.0f} s, peak {peak / 1e9:.2f} GB")
                time.sleep(SAMPLE_SECONDS)
        finally:
            if process.poll() is None:
                # It takes its own children with it.
                process.terminate()
                process.wait()
    return peak, process.returncode, time.perf_counter() - begin


def _resident(root: psutil.Process) -> int:
    """Resident bytes of a process and of everything below it."""
    try:
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in tree:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _targets(bundle: Bundle) -> dict[str, Any]:
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


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])

"""What is counted of a bundle. No clock, and no GPU: an engine's kernels were counted when it was built.

``program``
    From the manifest: calls and declared host syncs of one period, frames of a period.
``<profile>.<backend>``
    What the target holds: bytes of slots, of all state with what commits need, of engines; and bytes of ring
    entries that a frame writes. A cache that its graph updates inside is no ring and has none of these: what
    it writes shows in the graph's own counters.
``<profile>.<backend>.<graph>``
    The target's own counters of that graph: kernels by type, fused attentions, engine bytes, scratch, nodes
    by operator. Which nodes ONNX Runtime makes of them depends on the processor and is left out; so are the
    names of TensorRT's tactics, which are hashes: their numbers by type stay.
``played``
    From playing a CPU target here for two periods after a warm-up: graph runs, host syncs, copies, uploads
    and downloads with their bytes, tensors allocated (0), bindings made (0); and how many heavy packages the
    player has loaded by then (0).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import Call, Phase, Program, Target
from v2v_runtime.schedule import due, period, whole_period

from v2v_export.compare.side import Worker, interpreter
from v2v_export.explain.state import Sizes, count_state

Counts = Mapping[str, Mapping[str, int]]
"""Section -> counter -> number."""

_LEFT_OUT = ("nodes_optimised_cpu", "tactics")

_PLAYED = (
    "calls",
    "host_syncs",
    "copies",
    "copied_bytes",
    "uploads",
    "uploaded_bytes",
    "downloads",
    "downloaded_bytes",
    "allocations",
    "bindings",
)

_HEAVY = frozenset(
    {"torch", "onnx", "onnxscript", "diffusers", "transformers", "scipy", "v2v_export", "av", "tokenizers"}
)
"""Packages that a player must not load: what makes an import slow."""

Player = Callable[[str], Sequence[str]]
"""From a target, named in full, to the words that start a worker (``v2v_runtime.bench_worker``) of it."""

_SCRIPT = """\
import sys
from v2v_runtime.bench_worker import Player, main

class Told(Player):
    def count(self, count):
        counted = super().count(count)
        return {**counted, "packages": sorted({name.partition(".")[0] for name in sys.modules})}

sys.exit(main(make=Told))
"""
"""The runtime's own worker, which also tells what is loaded once it has opened a bundle and played it."""


def own_player(bundle: Path, python: Sequence[str] = (sys.executable,)) -> Player:
    """The worker of a Python's own runtime."""
    return lambda target: (*interpreter(python), "-c", _SCRIPT, str(bundle), "--target", target)


def count_bundle(
    bundle: Bundle,
    *,
    targets: Collection[str] | None = None,
    play: bool = True,
    player: Player | None = None,
) -> dict[str, dict[str, int]]:
    """The counters of a bundle.

    Args:
        targets: ``<profile>.<backend>`` of those that are counted; None: all.
        play: count what playing costs too, if one of these is for ONNX Runtime on the CPU.
        player: starts what plays; None: ``own_player``. One that plays another target than it is asked for is
            not counted, and of one that tells no packages these are not.

    Raises:
        BuildError: the worker that plays cannot be started, or fails (V2V-E8201 to V2V-E8204).
    """
    manifest = bundle.manifest
    chosen = {name: item for name, item in bundle.targets().items() if targets is None or name in targets}
    counted = {"program": _program(manifest.program)}
    for name, target in sorted(chosen.items()):
        state = count_state(manifest.program, manifest.graphs, manifest.variants[target.variant])
        sizes = {entry.path: entry.size for entry in target.files}
        counted[name] = {
            "slot_bytes": sum(state.slots.values()),
            "state_bytes": state.state,
            "ring_bytes_per_frame": _ring_bytes(manifest.program, manifest.variants[target.variant].float),
            "engine_bytes": sum(sizes[path] for path in target.engines.values()),
        }
        for graph, counters in sorted(target.counters.items()):
            counted[f"{name}.{graph}"] = dict(_flat(counters))
    if play and (cpu := _playable(chosen)) is not None:
        played = _play(bundle, cpu, (player or own_player(bundle.root))(cpu))
        counted |= {} if played is None else {"played": played}
    return counted


def _program(program: Program) -> dict[str, int]:
    last, steps = program.phases[-1], _period(program)
    return {
        "period_frames": whole_period(program),
        "calls_per_period": len(_runs(program)),
        "host_syncs_per_period": sum(_syncs(last, step) for step in steps),
    }


def _period(program: Program) -> range:
    """Steps of one period of the last phase: not its first, in which calls run whose params are new."""
    steps = period(program.phases[-1])
    return range(steps, 2 * steps)


def _runs(program: Program) -> list[Call]:
    """The last phase's calls as often as each runs in a period."""
    return [call for step in _period(program) for call in program.phases[-1].calls if due(call, step)]


def _syncs(phase: Phase, step: int) -> int:
    """Times the host waits in a step: checks, of the step and of its late calls; skip; row counts."""
    running = [call for call in phase.calls if due(call, step)]
    checks = {call.late for call in running if call.check}
    counts = {call.rows.count for call in running if call.rows is not None}
    return len(checks) + (phase.skip is not None) + len(counts)


def _ring_bytes(program: Program, float_type: str) -> int:
    """Bytes of ring entries that one frame of the last phase writes, on average over a period."""
    size = Sizes(float_type)
    # A ring takes one entry at a time, and is never bound by a view.
    entry = {name: size(slot.dtype, slot.shape[1:]) for name, slot in program.slots.items() if slot.ring}
    written = [name for call in _runs(program) for name in call.outputs.values() if isinstance(name, str)]
    return sum(entry.get(name, 0) for name in written) // whole_period(program)


def _flat(counters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    for key, value in counters.items():
        if key in _LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/")
        elif isinstance(value, list):
            yield from _flat({str(index): item for index, item in enumerate(value)}, f"{prefix}{key}/")
        elif isinstance(value, int) and not isinstance(value, bool):
            yield f"{prefix}{key}", value


def _playable(targets: Mapping[str, Target]) -> str | None:
    for name, target in sorted(targets.items()):
        if target.backend == "onnxruntime" and target.options.get("provider", "cpu") == "cpu":
            return name
    return None


def _play(bundle: Bundle, target: str, command: Sequence[str]) -> dict[str, int] | None:
    """Counters of two periods; None where the command plays another target."""
    program = bundle.manifest.program
    period = whole_period(program)
    finite = sum(p.steps * p.gather for p in program.phases[:-1] if p.steps != "forever")
    with Worker("the bundle", command) as worker:
        if worker.hello().target != target:
            return None
        worker.ask("play", frames=finite + 2 * period)
        said = worker.ask("count", frames=2 * period)
        counters, packages = said.get("counters"), said.get("packages", [])
        if not isinstance(counters, dict) or any(type(counters.get(name)) is not int for name in _PLAYED):
            raise worker.broken(f"left counters out: {', '.join(_PLAYED)}")
        if not isinstance(packages, list):
            raise worker.broken("told packages that are no list")
        worker.tell("quit")
    counted = {f"{name}_per_2_periods": counters[name] for name in _PLAYED}
    if "packages" in said:
        counted["heavy_packages"] = len(set(map(str, packages)) & _HEAVY)
    return counted

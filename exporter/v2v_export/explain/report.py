"""One explanation: what a bundle's graphs cost, on a profile, per run and per frame of the steady stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from v2v_runtime.manifest.model import Graph, Program, Variant
from v2v_runtime.schedule import runs_per_step

from v2v_export.explain.flops import Macs, count_macs
from v2v_export.explain.memory import EngineBytes, MemoryEstimate, estimate_memory
from v2v_export.explain.read import read_graph
from v2v_export.explain.roofline import Roofline, roofline
from v2v_export.explain.state import StateBytes, count_state
from v2v_export.explain.traffic import Traffic, count_bytes
from v2v_export.profiles import Profile
from v2v_export.targets.base import builder


@dataclass(frozen=True)
class GraphReport:
    """One run of one graph, at its largest row bucket.

    Attributes:
        runs_per_frame: runs per frame that enters the last phase, over the period of its schedule; row
            counts and skips, which depend on the video, are taken at their most.
        engine: exact when the target's counters were given, else estimated.
    """

    macs: Macs
    traffic: Traffic
    time: Roofline
    runs_per_frame: float
    engine: EngineBytes


@dataclass(frozen=True)
class Report:
    """See the module's docstring.

    Attributes:
        macs_per_frame: true multiply-adds per frame of the last phase, on average over its schedule.
        best_ms_per_frame: roofline time of the same.
    """

    profile: Profile
    float_type: str
    graphs: Mapping[str, GraphReport]
    state: StateBytes
    memory: MemoryEstimate

    @property
    def macs_per_frame(self) -> float:
        return sum(item.runs_per_frame * item.macs.true for item in self.graphs.values())

    @property
    def best_ms_per_frame(self) -> float:
        return sum(item.runs_per_frame * item.time.best for item in self.graphs.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; bytes, multiply-adds and milliseconds, unrounded."""
        graphs = {}
        for name, item in self.graphs.items():
            graphs[name] = {
                "macs": {**asdict(item.macs), "true": item.macs.true},
                "bytes": {**asdict(item.traffic), "fused": item.traffic.fused},
                "time_ms": {
                    **asdict(item.time),
                    "best": item.time.best,
                    "unfused": item.time.unfused,
                    "bound": item.time.bound,
                },
                "runs_per_frame": item.runs_per_frame,
                "engine": asdict(item.engine),
            }
        return {
            "profile": self.profile.to_dict(),
            "float": self.float_type,
            "graphs": graphs,
            "state": {**asdict(self.state), "state": self.state.state},
            "memory": {**asdict(self.memory), "worst": self.memory.worst, "total": self.memory.total},
            "per_frame": {"macs": self.macs_per_frame, "best_ms": self.best_ms_per_frame},
        }


def explain(
    program: Program,
    graphs: Mapping[str, Graph],
    variant: Variant,
    files: Mapping[str, Path],
    profile: Profile,
    counters: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    backend: str | None = None,
) -> Report:
    """Counts everything; reads the graphs' structure, runs nothing.

    Args:
        files: graph -> its ONNX file in this variant.
        counters: ``Target.counters`` of a built target; its engines' own figures replace estimates.
        backend: what plays the graphs; the profile's default where it is not said.

    Raises:
        ModelError: a graph cannot be read or counted (V2V-E6201 to E6203).
    """
    state = count_state(program, graphs, variant)
    frequency = _runs_per_frame(program)
    fuses = builder(backend or profile.backend).fuses
    reports = {}
    for name in sorted(graphs):
        shapes = {port: spec.shape for port, spec in graphs[name].inputs.items()}
        graph = read_graph(files[name], shapes)
        macs, traffic = count_macs(graph), count_bytes(graph)
        reports[name] = GraphReport(
            macs=macs,
            traffic=traffic,
            time=roofline(macs, traffic, profile),
            runs_per_frame=frequency.get(name, 0.0),
            engine=_engine(traffic, fuses, (counters or {}).get(name, {})),
        )
    engines = {name: item.engine for name, item in reports.items()}
    memory = estimate_memory(program, graphs, state, engines, profile)
    return Report(profile, variant.float, reports, state, memory)


def _engine(traffic: Traffic, fuses: bool, counters: Mapping[str, Any]) -> EngineBytes:
    weights, activations = counters.get("weight_bytes"), counters.get("activation_bytes")
    if isinstance(weights, int) and isinstance(activations, int):
        return EngineBytes(weights, activations, exact=True)
    return EngineBytes(traffic.weights, traffic.activations if fuses else traffic.activations_unfused)


def _runs_per_frame(program: Program) -> dict[str, float]:
    phase = program.phases[-1]
    runs: dict[str, float] = {}
    for call in phase.calls:
        runs[call.graph] = runs.get(call.graph, 0.0) + runs_per_step(call) / phase.gather
    return runs

"""Multiply-adds of graphs and of steps: what verification will cost, before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from v2v_runtime.manifest.model import Graph, Phase, Program
from v2v_runtime.schedule import due

from v2v_export.errors import ModelError


def graph_macs(graphs: Mapping[str, Graph], files: Mapping[str, Path]) -> dict[str, float]:
    """Graph -> multiply-adds of one run at the largest row bucket; what cannot be counted is left out."""
    from v2v_export.explain.flops import count_macs
    from v2v_export.explain.read import read_graph

    found: dict[str, float] = {}
    for name, graph in graphs.items():
        shapes = {port: spec.shape for port, spec in graph.inputs.items()}
        try:
            found[name] = count_macs(read_graph(files[name], shapes)).true
        except ModelError:
            continue
    return found


def step_macs(program: Program, macs: Mapping[str, float], index: int) -> float:
    """Multiply-adds of step ``index``, counted from the start of the stream."""
    phase, step = _phase_of(program, index)
    return sum(macs.get(call.graph, 0.0) for call in phase.calls if due(call, step))


def _phase_of(program: Program, index: int) -> tuple[Phase, int]:
    for phase in program.phases:
        if phase.steps == "forever" or index < phase.steps:
            return phase, index
        index -= phase.steps
    raise IndexError(index)

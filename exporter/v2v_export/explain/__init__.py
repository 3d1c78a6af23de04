"""What a graph costs: multiply-adds, bytes, memory, and the least time that a profile allows it."""

from __future__ import annotations

from v2v_export.explain.flops import Macs, count_macs
from v2v_export.explain.graph import StaticGraph
from v2v_export.explain.memory import EngineBytes, MemoryEstimate, check_memory, estimate_memory, least_memory
from v2v_export.explain.read import read_graph
from v2v_export.explain.report import GraphReport, Report, explain
from v2v_export.explain.roofline import Roofline, roofline
from v2v_export.explain.state import StateBytes, count_state
from v2v_export.explain.traffic import Traffic, count_bytes

__all__ = [
    "EngineBytes",
    "GraphReport",
    "Macs",
    "MemoryEstimate",
    "Report",
    "Roofline",
    "StateBytes",
    "StaticGraph",
    "Traffic",
    "check_memory",
    "count_bytes",
    "count_macs",
    "count_state",
    "estimate_memory",
    "explain",
    "least_memory",
    "read_graph",
    "roofline",
]

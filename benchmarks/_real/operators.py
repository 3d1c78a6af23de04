"""Where the time of a graph goes, by operator, as ONNX Runtime's own profiler counts it.

It says why a shortcut frame costs more than its share of the multiplications: which operators do little
arithmetic and take their time nevertheless.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.backends.ort_module import import_onnxruntime

RUNS = 8
_WARM = 2


def operator_times(
    graph: Path, inputs: Mapping[str, NDArray[Any]], threads: int, folder: Path
) -> dict[str, float]:
    """Operator -> mean milliseconds per run of all its nodes, the longest first.

    Args:
        graph: the ONNX file.
        folder: takes the profiler's file, for a while.
    """
    onnxruntime = import_onnxruntime()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    settings.enable_profiling = True
    settings.profile_file_prefix = str(folder / "operators")
    session = onnxruntime.InferenceSession(str(graph), settings, providers=["CPUExecutionProvider"])
    for _ in range(_WARM + RUNS):
        session.run(None, dict(inputs))
    profile = Path(session.end_profiling())
    events = json.loads(profile.read_text(encoding="utf-8"))
    profile.unlink()
    return mean_times(events)


def mean_times(events: list[dict[str, Any]]) -> dict[str, float]:
    """``operator_times`` from the profiler's events; the first runs warm up and are left out."""
    seen: Counter[str] = Counter()
    times: dict[str, list[float]] = {}
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        seen[event["name"]] += 1
        if seen[event["name"]] > _WARM:
            times.setdefault(event["args"]["op_name"], []).append(event["dur"])
    means = {operator: float(np.sum(each)) / 1e3 / RUNS for operator, each in times.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1]))

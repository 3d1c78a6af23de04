"""ONNX Runtime sessions for judging: one at a time, and no more memory than their tensors take.

The CPU provider computes float16 graphs in float32 and keeps its weights so. With arenas a session of 1 GB of
float16 weights takes 3.7 GB, without them 2.1 GB. With its optimisations off it opens at once, casts all
weights at the beginning of each run, and takes 3.1 GB at the peak.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

PER_WEIGHT = 4.5
"""Bytes that a session takes per number of its weights, whatever its float is."""


def session(path: Path) -> Any:
    """A session on the CPU provider that gives memory back as soon as it has no use for it."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    # An arena keeps the largest run's memory for as long as its session lives.
    settings.enable_cpu_mem_arena = False
    settings.enable_mem_pattern = False
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])

"""ONNX Runtime sessions for judging: one at a time, and no more memory than their tensors take."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def session(path: Path) -> Any:
    """A session on the CPU provider that gives memory back as soon as it has no use for it."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    # An arena keeps the largest run's memory for as long as its session lives.
    settings.enable_cpu_mem_arena = False
    settings.enable_mem_pattern = False
    return onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])

"""ONNX Runtime sessions for judging: one at a time, and no more memory than their tensors take.

The CPU provider computes float16 graphs in float32 and keeps its weights so. With arenas a session of 1 GB of
float16 weights takes 3.7 GB, without them 2.1 GB. With its optimisations off it opens at once, casts all
weights at the beginning of each run, and takes 3.1 GB at the peak.

Its plan keeps the buffers that a later tensor of the same size may take over, through everything in between.
Live2Diff's warm-up, eight frames of 512x512, takes 11.4 GB so, of which 5.7 are weights. Without that plan,
and with a heap that gives blocks back (``heap.return_at_once``), it takes 6.7 GB; with the one alone 16.0,
with the other alone 11.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v2v_runtime.backends.onnxruntime import OnnxRuntimeBackend
from v2v_runtime.backends.ort_module import import_onnxruntime

PER_WEIGHT = 4.5
"""Bytes that a session takes per number of its weights, whatever its float is."""


class FrugalBackend(OnnxRuntimeBackend):
    """Sessions that give every tensor's memory back with its last reader. Results are the same."""

    def session_options(self) -> Any:
        settings = super().session_options()
        settings.enable_mem_reuse = False
        return settings


def frugal(options: Mapping[str, Any]) -> FrugalBackend:
    """The backend for a target's options, whatever they say of arenas, which keep what no run needs, and of
    threads that spin, which take the cores from those that work."""
    return FrugalBackend.open({**options, "spin": False, "arena": False})


def session(path: Path) -> Any:
    """A session on the CPU provider that gives memory back as soon as it has no use for it."""
    settings = frugal({}).session_options()
    return import_onnxruntime().InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])

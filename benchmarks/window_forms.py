"""Counts what TensorRT for RTX makes of Live2Diff's temporal modules, form by form. No GPU is needed.

Both forms of the cache: ``delta`` gives the machine a ring's new entry, ``in_place`` updates the ring itself
(TensorScatter). Kernels are launches of one run; what synchronises streams is counted apart. Scratch is the
activation memory of the module alone. Weights are random: they change neither.

    python benchmarks/window_forms.py [--rows 2] [--level 0] [--cache delta ...] [--form unrolled ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn
from v2v_export.errors import V2VError
from v2v_export.export.pipeline import export_graph
from v2v_export.profiles import load_profile
from v2v_export.system import GraphSpec
from v2v_export.systems.live2diff.ring_clock import ring_clock
from v2v_export.systems.live2diff.temporal import TemporalTransformer
from v2v_export.systems.live2diff.temporal_scatter import OPSET
from v2v_export.systems.live2diff.temporal_state import HEADS, RING, SINKS, Cache
from v2v_export.systems.live2diff.temporal_step import StepModule
from v2v_export.targets.base import EngineRequest, builder
from v2v_export.targets.spawn import build_engine
from v2v_plugins import OPS
from v2v_runtime.manifest.model import TensorSpec

LEVELS = ((320, 64), (640, 32), (1280, 16), (1280, 8))
"""Channels and side of a 512 x 512 stream's features."""

SYNCHRONISATION = ("signal", "wait")


class Module(nn.Module):
    """One temporal module with its clock, as it stands in a step."""

    def __init__(self, channels: int, rows: int, cache: Cache) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.step = StepModule(TemporalTransformer(channels), torch.float16, cache)
        self.rows = rows

    def forward(self, x: Tensor, step: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        y, new = self.step(x, (caches[:2], caches[2:]), ring_clock(step, self.rows))
        return (y, *new)


def specification(rows: int, channels: int, side: int, cache: Cache) -> GraphSpec:
    """The module on features [rows, channels, side, side]."""
    token = (side * side, 2, HEADS, channels // HEADS)
    ring, opset = TensorSpec("float", (RING, rows, *token)), None
    new = TensorSpec("float", (1, rows, *token))
    if cache == "in_place":
        ring = new = TensorSpec("float", (1, 1, RING, rows * math.prod(token)))
        opset = OPSET
    x = TensorSpec("float", (rows, channels, side, side))
    caches = {
        "sink_0": TensorSpec("float", (rows, SINKS, *token)),
        "ring_0": ring,
        "sink_1": TensorSpec("float", (rows, SINKS, *token)),
        "ring_1": ring,
    }
    inputs = {"x": x, "step": TensorSpec("int64", (1,)), **caches}
    outputs = {"y": x, "new_0": new, "new_1": new}
    return GraphSpec("module", lambda: Module(channels, rows, cache), inputs, outputs, opset=opset)


def count(spec: GraphSpec, form: str, gpu: str) -> tuple[int, int, float]:
    """Kernels, synchronising layers and MiB of scratch of one form, built for ``gpu``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = export_graph(spec, "float16", {"window": form}, folder)
        work = folder / "engine"
        work.mkdir()
        profile = dataclasses.asdict(load_profile(gpu))
        tensorrt = builder("tensorrt")
        request = EngineRequest(
            "tensorrt", spec.name, str(model), str(work), "float16", profile, tensorrt.options(profile)
        )
        counters = build_engine(request, lambda *_: None, tensorrt.environment()).counters
    idle = sum(counters["kernels_by_type"].get(kind, 0) for kind in SYNCHRONISATION)
    # Some versions of the counters leave these out of the sum themselves.
    kernels = sum(counters["kernels_by_type"].values()) - idle
    return kernels, idle, counters["activation_bytes"] / 2**20


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; 1 after an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=2, help="T")
    parser.add_argument("--level", type=int, choices=range(len(LEVELS)), action="append")
    forms = list(OPS["WindowAttention"].lowerings)
    parser.add_argument("--form", choices=forms, action="append")
    parser.add_argument("--cache", choices=get_args(Cache), action="append", help="who writes the ring")
    parser.add_argument("--gpu", default="rtx4090", help="a profile that TensorRT for RTX builds for")
    arguments = parser.parse_args(argv)
    print(f"{'level':>12} {'cache':>9} {'form':>10} {'kernels':>8} {'sync':>5} {'scratch MiB':>12}")
    try:
        for level in arguments.level or range(len(LEVELS)):
            channels, side = LEVELS[level]
            where = f"{channels} x {side}^2"
            for cache in arguments.cache or get_args(Cache):
                spec = specification(arguments.rows, channels, side, cache)
                for form in arguments.form or forms:
                    kernels, idle, scratch = count(spec, form, arguments.gpu)
                    start = f"{where:>12} {cache:>9} {form:>10}"
                    print(f"{start} {kernels:>8} {idle:>5} {scratch:>12.1f}", flush=True)
    except V2VError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Counts what TensorRT for RTX makes of Live2Diff's temporal modules, form by form. No GPU is needed.

Both forms of the cache: ``delta`` gives the machine a ring's new entry, ``in_place`` updates the ring itself
(TensorScatter). Kernels are launches of one run; what synchronises streams is counted apart. Scratch is the
activation memory of the module alone. Weights are random: they change neither.

    python benchmarks/window_forms.py [--rows 2] [--level 0] [--cache delta ...] [--form unrolled ...]
        [--json FILE]
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from _real import record
from torch import Tensor, nn
from v2v_export.errors import V2VError
from v2v_export.export.pipeline import export_graph
from v2v_export.profiles import load_profile
from v2v_export.provenance import exporter_digest
from v2v_export.registry import code_digest, find_system
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


@dataclass(frozen=True)
class Counted:
    """What one form of a module became.

    Attributes:
        kernels: launches of one run, by type; what synchronises streams is not among them.
        synchronising: layers that start no kernel and make one stream wait for another.
        scratch_bytes: memory of activations.
        engine_bytes: the engine as a file, with its weights.
    """

    kernels: Mapping[str, int]
    synchronising: int
    scratch_bytes: int
    engine_bytes: int

    @property
    def launches(self) -> int:
        return sum(self.kernels.values())


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


def count(spec: GraphSpec, form: str, gpu: str) -> Counted:
    """One form of a module, built for ``gpu``."""
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
    kinds = dict(counters["kernels_by_type"])
    idle = sum(kinds.pop(kind, 0) for kind in SYNCHRONISATION)
    return Counted(kinds, idle, counters["activation_bytes"], counters["engine_bytes"])


def counted(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Builds and prints one form after another; gives a row of the record for each."""
    print(f"{'level':>12} {'cache':>9} {'form':>10} {'kernels':>8} {'sync':>5} {'scratch MiB':>12}")
    for level in arguments.level or range(len(LEVELS)):
        channels, side = LEVELS[level]
        for cache in arguments.cache or get_args(Cache):
            spec = specification(arguments.rows, channels, side, cache)
            for form in arguments.form or OPS["WindowAttention"].lowerings:
                made = count(spec, form, arguments.gpu)
                start = f"{f'{channels} x {side}^2':>12} {cache:>9} {form:>10}"
                scratch = made.scratch_bytes / 2**20
                print(f"{start} {made.launches:>8} {made.synchronising:>5} {scratch:>12.1f}", flush=True)
                where = {"channels": channels, "side": side, "cache": cache, "form": form}
                yield {**where, "launches": made.launches, **dataclasses.asdict(made)}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table; 1 after an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=2, help="T")
    parser.add_argument("--level", type=int, choices=range(len(LEVELS)), action="append")
    parser.add_argument("--form", choices=list(OPS["WindowAttention"].lowerings), action="append")
    parser.add_argument("--cache", choices=get_args(Cache), action="append", help="who writes the ring")
    parser.add_argument("--gpu", default="rtx4090", help="a profile that TensorRT for RTX builds for")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found and on what machine")
    arguments = parser.parse_args(argv)
    about = record.machine()
    try:
        modules = list(counted(arguments))
    except V2VError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.json is not None:
        case = {"gpu": arguments.gpu, "rows": arguments.rows, "float": "float16"}
        document = {
            "schema": record.SCHEMA,
            "name": "window-forms",
            "system": "live2diff",
            "case": {**case, "height": 512, "width": 512},
            "machine": about,
            "code": {"exporter": exporter_digest(), "system": code_digest(find_system("live2diff"))},
        }
        record.write_document(arguments.json, {**document, "modules": modules})
    return 0


if __name__ == "__main__":
    sys.exit(main())

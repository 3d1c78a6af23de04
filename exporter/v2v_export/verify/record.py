"""The PyTorch side: asks modules and the literal stream once, within the budget, and writes down what they
say."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import Program

from v2v_export.clip import gathers
from v2v_export.heap import give_back
from v2v_export.system import GraphOptions, Model
from v2v_export.verify.arrays import finished
from v2v_export.verify.budget import Budget
from v2v_export.verify.cost import graph_macs, step_macs
from v2v_export.verify.reference import REFERENCE, RecordedReference, Recorder, recorded
from v2v_export.verify.tapped import TapSpec

if TYPE_CHECKING:
    from v2v_export.verify.parity import ParityJob

LITERAL = 2.0
"""How much dearer than the graphs a literal step is taken to be until the first one was played."""

_MODULES = "modules"
_LEFT = "left.json"


@dataclass(frozen=True)
class Recorded:
    """What the judge reads.

    Attributes:
        modules, reference: folders; no reference where not one step of it was affordable.
        graphs: ports and taps of every graph.
        macs: graph -> multiply-adds of one run.
        weights: graph -> numbers in its weights.
        left: what was left out, in words.
    """

    modules: Path
    reference: Path | None
    graphs: tuple[TapSpec, ...]
    macs: Mapping[str, float]
    weights: Mapping[str, int]
    left: tuple[str, ...]


def record(job: ParityJob, bundle: Bundle, folder: Path, clip: NDArray[np.uint8], forced: int) -> Recorded:
    """Records what is not in ``folder`` yet.

    Args:
        folder: of one model; what it holds already serves this target too.
        clip: the frames that the stream is to be given.
        forced: around the steps of the first so many frames, slots are kept.
    """
    variant = bundle.target(job.target).variant
    graphs = bundle.manifest.graphs
    files = {graph: bundle.graph_path(variant, graph) for graph in graphs}
    macs = graph_macs(graphs, files)
    model = job.model()
    weights = dict(model.weight_counts())
    specs = list(model.graphs(GraphOptions("float32")))
    taps = tuple(TapSpec(s.name, s.inputs, s.outputs, s.taps, s.dynamic_rows) for s in specs)
    modules, reference = folder / _MODULES, folder / REFERENCE
    budget = Budget(job.seconds)
    if not finished(modules):
        from v2v_export.verify.modules import record_modules

        left = record_modules(specs, modules, budget, macs, weights, job.progress)
        give_back()  # the last module's weights: the stream asks what memory is free
        (folder / _LEFT).write_text(json.dumps(left), encoding="utf-8")
    left = json.loads((folder / _LEFT).read_text(encoding="utf-8"))
    if not (recorded(reference, len(clip), forced) or (reference / _LEFT).is_file()):
        _record_reference(job, model, reference, clip, forced, budget, macs)
    if (reference / _LEFT).is_file():
        left += json.loads((reference / _LEFT).read_text(encoding="utf-8"))
    played = finished(reference) and RecordedReference(reference).taken > 0
    return Recorded(modules, reference if played else None, taps, macs, weights, tuple(left))


def _record_reference(
    job: ParityJob,
    model: Model,
    folder: Path,
    clip: NDArray[np.uint8],
    forced: int,
    budget: Budget,
    macs: Mapping[str, float],
) -> None:
    program = model.program()
    recorder: Recorder | None = None
    slack, taken, left = LITERAL, 0, []
    for index, count in enumerate(_steps(program, len(clip))):
        cost = step_macs(program, macs, index)
        memory = _memory(model, program) if recorder is None else 0
        if why := budget.refuse(slack * cost, memory):
            left.append(
                f"the stream past frame {taken}: the literal step would take {why}; "
                "`v2v-export verify --full` plays it"
            )
            break
        job.progress(f"reference frame {taken + count}")
        if recorder is None:
            reference = model.reference()
            give_back()  # making it left holes where the checkpoints' own tensors stood
            recorder = Recorder(reference, program, forced, folder)
        begin = time.perf_counter()
        recorder.step(clip[taken : taken + count])
        budget.took(cost, time.perf_counter() - begin)
        slack, taken = 1.0, taken + count
    if recorder is not None:
        recorder.finish()
    if left:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _LEFT).write_text(json.dumps(left), encoding="utf-8")


def _steps(program: Program, frames: int) -> Iterator[int]:
    """The frames that each whole step takes of a clip."""
    taken = 0
    for count in gathers(program):
        taken += count
        if taken > frames:
            return
        yield count


def _memory(model: Model, program: Program) -> int:
    """Bytes of the largest graph's weights and of all slots in float32: the least that the stream takes."""
    weights = max(model.weight_counts().values(), default=0)
    return 4 * (weights + sum(prod(slot.shape) for slot in program.slots.values()))

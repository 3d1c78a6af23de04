"""What each graph's torch module makes of the system's examples and of random inputs, written down.

Modules are float32 and in the first form of each lowering, whatever a variant is: one set of numbers judges
all variants of a build. Inputs that a variant calls "float" are numbers that float16 holds too. Modules are
made, asked and let go one after the other, and large inputs are read from what was written as they are used:
what is in memory at once is one module's weights, what it computes, and little else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from v2v_runtime.dtypes import numpy_dtype
from v2v_runtime.manifest.model import TensorSpec

from v2v_export.heap import give_back
from v2v_export.system import GraphSpec
from v2v_export.verify.arrays import Array, ArrayWriter, Entry
from v2v_export.verify.budget import Budget
from v2v_export.verify.inputs import Case, cases, drawn, narrow
from v2v_export.verify.order import Work, in_turn
from v2v_export.verify.ports import OnDisk, large


def record_modules(
    specs: Sequence[GraphSpec],
    folder: Path,
    budget: Budget,
    macs: Mapping[str, float],
    weights: Mapping[str, int],
    progress: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """Runs the modules, in the order of ``order.in_turn``, and writes ``folder``.

    Args:
        specs: of the float32 variant.
        macs: graph -> multiply-adds of one run.
        weights: graph -> numbers in its weights.

    Returns:
        What was left out, in words.
    """
    left: list[str] = []
    known = {spec.name: spec for spec in specs}
    works = [
        Work(spec.name, macs.get(spec.name, 0.0), 4 * weights.get(spec.name, 0) + _ports(spec), cases(spec))
        for spec in specs
    ]
    with ArrayWriter(folder) as writer:

        def opened(work: Work[Case]) -> Callable[[str, Case], tuple[str, Any]]:
            spec = known[work.graph]
            progress(f"module {spec.name}")
            big = large(4 * weights.get(spec.name, 0))
            if big:
                give_back()  # the module before it is gone, and its memory still with the heap
            module = spec.make()
            if big:
                give_back()  # making it left holes where the checkpoint's own tensors stood
            return lambda label, case: (
                spec.name,
                _record(spec, module, writer, budget, work.macs, label, case),
            )

        done: dict[str, list[Any]] = {}
        for name, entry in in_turn(works, budget, opened, left):
            done.setdefault(name, []).append(entry)
        # The system's order, which a report keeps.
        writer.finish({name: done[name] for name in known if name in done})
    return left


def _record(
    spec: GraphSpec,
    module: torch.nn.Module,
    writer: ArrayWriter,
    budget: Budget,
    macs: float,
    label: str,
    case: Case,
) -> Any:
    given: dict[str, Entry] = {}
    inputs: list[torch.Tensor] = []
    for port, kind in spec.inputs.items():
        value = drawn(port, spec, kind, case)
        given[port] = writer.add(narrow(kind, value))
        small = not large(value.nbytes)
        inputs.append(torch.from_numpy(value) if small else handed(given[port], value.dtype, writer.read))
        del value
    begin = time.perf_counter()
    expected = asked(spec, module, inputs)
    budget.took(macs, time.perf_counter() - begin)
    del inputs
    made = {name: writer.add(expected.pop(name)) for name in list(expected)}
    return {"inputs": label, "given": given, "expected": made}


def handed(stored: Entry, dtype: np.dtype[Any], read: Callable[[Entry], Array]) -> torch.Tensor:
    """A recorded input as a module of that type gets it: a large one is read each time that it is used."""

    def whole() -> torch.Tensor:
        return torch.from_numpy(read(stored).astype(dtype, copy=False))

    shape = tuple(stored["shape"])
    if not large(prod(shape) * dtype.itemsize):
        return whole()
    return OnDisk.of(shape, torch.from_numpy(np.empty(0, dtype)).dtype, whole)


def asked(spec: GraphSpec, module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> dict[str, Array]:
    """What a module answers: its outputs and taps by name."""
    with torch.no_grad():
        answer = module(*inputs)
    items = (answer,) if isinstance(answer, torch.Tensor) else answer
    return {name: item.detach().numpy() for name, item in zip(_results(spec), items, strict=True)}


def _ports(spec: GraphSpec) -> int:
    """Bytes of what a module is given and makes, in float32; of inputs that are read as they are used, the
    largest: with its weights that is the least that running it takes."""
    inputs, made = ([_bytes(port) for port in of] for of in (spec.inputs.values(), _results(spec).values()))
    read = [size for size in inputs if large(size)]
    return sum(inputs) - sum(read) + max(read, default=0) + sum(made)


def _bytes(port: TensorSpec) -> int:
    return prod(port.shape) * numpy_dtype(port.dtype, "float32").itemsize


def _results(spec: GraphSpec) -> dict[str, TensorSpec]:
    return {**spec.outputs, **spec.taps}

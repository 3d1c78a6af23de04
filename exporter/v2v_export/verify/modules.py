"""What each graph's torch module makes of the system's examples and of random inputs, written down.

Modules are float32 and in the first form of each lowering, whatever a variant is: one set of numbers judges
all variants of a build. Inputs that a variant calls "float" are numbers that float16 holds too. Modules are
made, asked and let go one after the other, and large inputs are read from what was written as they are used:
what is in memory at once is one module's weights, what it computes, and little else.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from v2v_runtime.dtypes import numpy_dtype
from v2v_runtime.manifest.model import TensorSpec

from v2v_export.heap import give_back
from v2v_export.system import GraphSpec
from v2v_export.verify.arrays import ArrayWriter, Entry
from v2v_export.verify.budget import Budget
from v2v_export.verify.ports import OnDisk, large

Array = NDArray[Any]


def record_modules(
    specs: Sequence[GraphSpec],
    folder: Path,
    budget: Budget,
    macs: Mapping[str, float],
    weights: Mapping[str, int],
    progress: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """Runs the modules and writes ``folder``.

    Args:
        specs: of the float32 variant.
        macs: graph -> multiply-adds of one run.
        weights: graph -> numbers in its weights.

    Returns:
        What was left out, in words. Small graphs come first, so that what is left out is the dearest.
    """
    left: list[str] = []
    done: dict[str, Any] = {}
    with ArrayWriter(folder) as writer:
        for spec in sorted(specs, key=lambda spec: macs.get(spec.name, 0.0)):
            cost, size = macs.get(spec.name, 0.0), 4 * weights.get(spec.name, 0)
            why = budget.refuse(cost, size + _ports(spec))
            if why:
                left.append(f"graph {spec.name} against its module: it would take {why}")
                continue
            progress(f"module {spec.name}")
            module = spec.make()
            if large(size):
                give_back()  # making it left holes where the checkpoint's own tensors stood
            done[spec.name], complete = _record(spec, module, writer, budget, cost)
            del module
            if not complete:
                left.append(f"graph {spec.name} on random inputs: no time was left after the examples")
        # The system's order, which a report keeps.
        writer.finish({spec.name: done[spec.name] for spec in specs if spec.name in done})
    return left


def _record(
    spec: GraphSpec, module: torch.nn.Module, writer: ArrayWriter, budget: Budget, cost: float
) -> tuple[list[Any], bool]:
    cases: list[Any] = []
    for label, seed, rows in _cases(spec):
        if cases and budget.refuse(cost):
            return cases, False
        given: dict[str, Any] = {}
        inputs: list[torch.Tensor] = []
        for port, kind in spec.inputs.items():
            value = _input(port, spec, kind, seed)
            if rows is not None and port in spec.dynamic_rows:
                value = np.ascontiguousarray(value[:rows])
            given[port] = writer.add(_narrow(kind, value))
            inputs.append(_handed(value, given[port], writer))
            del value
        begin = time.perf_counter()
        expected = _run(module, spec, inputs)
        budget.took(cost, time.perf_counter() - begin)
        del inputs
        made = {name: writer.add(expected.pop(name)) for name in list(expected)}
        cases.append({"inputs": label, "given": given, "expected": made})
    return cases, True


def _handed(value: Array, stored: Entry, writer: ArrayWriter) -> torch.Tensor:
    """The input as the module gets it: a large one from where it is stored, the same numbers."""
    if not large(value.nbytes):
        return torch.from_numpy(value)
    shape, dtype, numbers = value.shape, value.dtype, torch.from_numpy(value).dtype
    return OnDisk.of(shape, numbers, lambda: torch.from_numpy(writer.read(stored).astype(dtype, copy=False)))


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


def _run(module: torch.nn.Module, spec: GraphSpec, inputs: Sequence[torch.Tensor]) -> dict[str, Array]:
    """The module's outputs and taps."""
    with torch.no_grad():
        answer = module(*inputs)
    items = (answer,) if isinstance(answer, torch.Tensor) else answer
    return {name: item.detach().numpy() for name, item in zip(_results(spec), items, strict=True)}


def _narrow(spec: TensorSpec, value: Array) -> Array:
    """As it is stored: exact all the same."""
    return value.astype(np.float16) if spec.dtype == "float" else value


def _cases(spec: GraphSpec) -> Iterator[tuple[str, int, int | None]]:
    """Name, seed and rows: the system's example filled up with random tensors, then random tensors where no
    example is needed; each whole, and cut to one row where rows are dynamic."""
    for label, seed in (("example", 0), ("random", 1)):
        yield label, seed, None
        if spec.dynamic_rows:
            yield f"{label}, 1 row", seed, 1


def _input(port: str, spec: GraphSpec, kind: TensorSpec, seed: int) -> Array:
    """A float32 or integer array; what a variant calls "float" holds numbers that float16 has."""
    dtype = numpy_dtype(kind.dtype, "float32")
    example = spec.example.get(port)
    # What indexes into something cannot be drawn: the system's example knows the range, zero is always in it.
    if example is not None and (seed == 0 or dtype.kind not in "fu"):
        value = np.ascontiguousarray(example.detach().numpy().astype(dtype))
        return _narrow(kind, value).astype(dtype)
    rng = np.random.default_rng([seed, zlib.crc32(f"{spec.name}.{port}".encode())])
    if dtype.kind == "f":
        scale = 1.0 if example is None else float(example.float().std().nan_to_num(1.0)) or 1.0
        drawn = rng.standard_normal(kind.shape, np.float32)
        drawn *= np.float32(scale)
        return _narrow(kind, drawn).astype(dtype)
    if dtype == np.uint8:
        return rng.integers(0, 256, kind.shape, dtype=np.uint8)
    if dtype == np.bool_:
        return np.full(kind.shape, seed % 2 == 0)
    return np.zeros(kind.shape, dtype)

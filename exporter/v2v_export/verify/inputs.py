"""What a module is given while it is recorded: the system's example, and random tensors."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.dtypes import numpy_dtype
from v2v_runtime.manifest.model import TensorSpec

from v2v_export.system import GraphSpec

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """One set of inputs.

    Attributes:
        seed: 0: the system's example filled up with random tensors; else random tensors where no example is
            needed.
        rows: of ports whose rows are dynamic; None: all.
    """

    seed: int
    rows: int | None = None


def cases(spec: GraphSpec) -> list[tuple[str, Case]]:
    """By name: example and random, each whole, and cut to one row where rows are dynamic."""
    found = []
    for label, seed in (("example", 0), ("random", 1)):
        found.append((label, Case(seed)))
        if spec.dynamic_rows:
            found.append((f"{label}, 1 row", Case(seed, 1)))
    return found


def narrow(kind: TensorSpec, value: Array) -> Array:
    """As it is stored: what a variant calls "float" in float16, exact all the same."""
    return value.astype(np.float16) if kind.dtype == "float" else value


def drawn(port: str, spec: GraphSpec, kind: TensorSpec, case: Case) -> Array:
    """A float32 or integer array; what a variant calls "float" holds numbers that float16 has."""
    value = _whole(port, spec, kind, case.seed)
    if case.rows is not None and port in spec.dynamic_rows:
        return np.ascontiguousarray(value[: case.rows])
    return value


def _whole(port: str, spec: GraphSpec, kind: TensorSpec, seed: int) -> Array:
    dtype = numpy_dtype(kind.dtype, "float32")
    example = spec.example.get(port)
    # What indexes into something cannot be drawn: the system's example knows the range, zero is always in it.
    if example is not None and (seed == 0 or dtype.kind not in "fu"):
        value = np.ascontiguousarray(example.detach().numpy().astype(dtype))
        return narrow(kind, value).astype(dtype)
    rng = np.random.default_rng([seed, zlib.crc32(f"{spec.name}.{port}".encode())])
    if dtype.kind == "f":
        scale = 1.0 if example is None else float(example.float().std(correction=0).nan_to_num(1.0)) or 1.0
        values = rng.standard_normal(kind.shape, np.float32)
        values *= np.float32(scale)
        return narrow(kind, values).astype(dtype)
    if dtype == np.uint8:
        return rng.integers(0, 256, kind.shape, dtype=np.uint8)
    if dtype == np.bool_:
        return np.full(kind.shape, seed % 2 == 0)
    return np.zeros(kind.shape, dtype)

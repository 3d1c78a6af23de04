"""Level 1: each exported graph against its torch module, on the system's examples and on random inputs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from v2v_runtime.dtypes import numpy_dtype
from v2v_runtime.manifest.model import TensorSpec

from v2v_export.system import GraphSpec
from v2v_export.verify.compare import Difference, Tolerance, difference, kind_of
from v2v_export.verify.tapped import picture_taps

Array = NDArray[Any]


@dataclass(frozen=True)
class GraphCheck:
    """One graph on one set of inputs.

    Attributes:
        inputs: ``example`` or ``random``, with ``, 1 row`` where axis 0 of its row ports was cut to one.
    """

    graph: str
    inputs: str
    differences: tuple[Difference, ...]


def check_graphs(
    specs: Sequence[GraphSpec],
    files: Mapping[str, Path],
    float_type: Literal["float16", "float32"],
    tolerance: Tolerance,
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[GraphCheck]:
    """Runs every graph through ONNX Runtime's CPU provider and its module through torch.

    Args:
        specs: the variant's graphs with float32 modules, whatever the variant's precision: they judge.
        files: graph -> its ONNX file with its taps as outputs.
        float_type: what ``"float"`` is in those files.
    """
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    # Threads that spin while they wait would take the cores from torch's.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for spec in specs:
        progress(f"graph {spec.name} against its module")
        session = onnxruntime.InferenceSession(
            str(files[spec.name]), settings, providers=["CPUExecutionProvider"]
        )
        # Taps first: the float picture says more than the uint8 one that is made from it.
        names = [*spec.taps, *spec.outputs]
        for label, inputs in _input_sets(spec, float_type):
            seen = dict(zip(names, session.run(names, inputs), strict=True))
            expected = _run_module(spec, inputs)
            yield GraphCheck(
                spec.name,
                label,
                tuple(
                    difference(name, seen[name], expected[name], _kind(name, spec, expected[name]), tolerance)
                    for name in names
                ),
            )


def _kind(name: str, spec: GraphSpec, expected: Array) -> Any:
    return kind_of(expected, picture=name in picture_taps(spec).values())


def _run_module(spec: GraphSpec, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The module's outputs and taps; inputs that were float16 are given as the same numbers in float32."""
    given = [
        torch.from_numpy(
            inputs[port].astype(np.float32) if inputs[port].dtype == np.float16 else inputs[port]
        )
        for port in spec.inputs
    ]
    with torch.no_grad():
        answer = spec.make()(*given)
    items = (answer,) if isinstance(answer, torch.Tensor) else answer
    return {
        name: item.detach().numpy() for name, item in zip((*spec.outputs, *spec.taps), items, strict=True)
    }


def _input_sets(
    spec: GraphSpec, float_type: Literal["float16", "float32"]
) -> Iterator[tuple[str, dict[str, Array]]]:
    """The system's example filled up with random tensors, then random tensors where no example is needed."""
    for label, seed in (("example", 0), ("random", 1)):
        inputs = {port: _input(port, spec, kind, float_type, seed) for port, kind in spec.inputs.items()}
        yield label, inputs
        if spec.dynamic_rows:
            yield (
                f"{label}, 1 row",
                {port: value[:1] if port in spec.dynamic_rows else value for port, value in inputs.items()},
            )


def _input(
    port: str, spec: GraphSpec, kind: TensorSpec, float_type: Literal["float16", "float32"], seed: int
) -> Array:
    dtype = numpy_dtype(kind.dtype, float_type)
    example = spec.example.get(port)
    # What indexes into something cannot be drawn: the system's example knows the range, zero is always in it.
    if example is not None and (seed == 0 or dtype.kind not in "fu"):
        return np.ascontiguousarray(example.detach().numpy().astype(dtype))
    rng = np.random.default_rng([seed, zlib.crc32(f"{spec.name}.{port}".encode())])
    if dtype.kind == "f":
        scale = 1.0 if example is None else float(example.float().std().nan_to_num(1.0)) or 1.0
        return (rng.standard_normal(kind.shape) * scale).astype(dtype)
    if dtype == np.uint8:
        return rng.integers(0, 256, kind.shape, dtype=np.uint8)
    if dtype == np.bool_:
        return np.full(kind.shape, seed % 2 == 0)
    return np.zeros(kind.shape, dtype)

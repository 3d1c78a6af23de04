"""Traces one graph with torch's dynamo exporter and holds it to its declaration."""

from __future__ import annotations

import contextlib
import inspect
import logging
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor
from v2v_runtime.manifest.model import TensorSpec

from v2v_export.errors import BuildError
from v2v_export.export.lint import lint
from v2v_export.export.outputs import part_outputs
from v2v_export.export.types import Float, kind
from v2v_export.system import GraphSpec

OPSET = 19
"""The lowest that has DeformConv, and the highest whose GridSample is the one of opset 16: the next one has
given silently wrong numbers in releases of TensorRT."""

ROWS = "rows"
"""The name of the only dynamic dimension: axis 0 of the ports in ``GraphSpec.dynamic_rows``."""

Translations = Mapping[Callable[..., Any], Callable[..., Any]]


def trace(
    spec: GraphSpec,
    variant_float: Float,
    *,
    opset: int | None = None,
    translations: Translations | None = None,
) -> ir.Model:
    """``spec``'s module as an ONNX model whose inputs and outputs are named, ordered and typed as declared.

    Taps follow the outputs (``passes.hide_taps`` takes them inside). The weights are views of the module's
    own tensors: nothing is copied, and they live as long as the model. A float16 module is traced without
    running a float16 kernel.

    Args:
        opset: None: the graph's own, or else ``OPSET``.
        translations: torch operator -> ONNX function, for custom ops that become bare nodes.

    Raises:
        BuildError: the exporter refused (V2V-E7010); the graph has other ports than declared (V2V-E7011).
    """
    ports = [*spec.inputs, *spec.outputs, *spec.taps]
    if len(set(ports)) != len(ports):
        raise BuildError(
            "V2V-E7011",
            f"graph {spec.name!r} declares a port name twice: {ports}",
            "inputs, outputs and taps of one graph all named differently",
            "rename one in the system's graphs",
        )
    arguments = tuple(examples(spec, variant_float).values())
    module = spec.make()
    dynamic = _dynamic_shapes(spec, module)
    with _quiet(), torch.no_grad():
        try:
            traced = torch.export.export(module, arguments, dynamic_shapes=dynamic, strict=False)
            lint(traced, spec.name)
            program = torch.onnx.export(
                traced,
                arguments,
                dynamo=True,
                opset_version=opset or spec.opset or OPSET,
                input_names=list(spec.inputs),
                output_names=[*spec.outputs, *spec.taps],
                dynamic_shapes=dynamic,
                custom_translation_table=dict(translations or {}),
                verbose=False,
                # Its folding would copy every transposed weight; ours comes after passes/transpose_weights.
                optimize=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
            raise BuildError(
                "V2V-E7010",
                f"torch could not export graph {spec.name!r}: {_first_lines(error)}",
                fix="the cause below this error names the module and the operator",
            ) from error
    assert program is not None
    model: ir.Model = program.model
    part_outputs(model.graph, list(spec.inputs), [*spec.outputs, *spec.taps])
    _compare_ports(spec, variant_float, model)
    return model


def examples(spec: GraphSpec, variant_float: Float) -> dict[str, Tensor]:
    """A tensor for every input port: the declared example, or a random one that is the same every time.

    Floats are standard normal, uint8 is uniform over all levels, flags are true, and integers are zero, which
    every table and counter has.
    """
    return {
        port: spec.example[port] if port in spec.example else _random(port, tensor, variant_float)
        for port, tensor in spec.inputs.items()
    }


def _random(port: str, spec: TensorSpec, variant_float: Float) -> Tensor:
    dtype = kind(spec.dtype, variant_float).torch
    generator = torch.Generator().manual_seed(zlib.crc32(port.encode()))
    if dtype.is_floating_point:
        return torch.randn(spec.shape, generator=generator).to(dtype)
    if dtype == torch.uint8:
        return torch.randint(0, 256, spec.shape, generator=generator, dtype=dtype)
    if dtype == torch.bool:
        return torch.ones(spec.shape, dtype=dtype)
    return torch.zeros(spec.shape, dtype=dtype)


def _dynamic_shapes(spec: GraphSpec, module: torch.nn.Module) -> tuple[Any, ...] | None:
    if not spec.dynamic_rows:
        return None
    largest = max(spec.inputs[port].shape[0] for port in spec.dynamic_rows if port in spec.inputs)
    rows = torch.export.Dim(ROWS, min=1, max=largest)
    shapes = tuple({0: rows} if port in spec.dynamic_rows else None for port in spec.inputs)
    parameters = inspect.signature(module.forward).parameters.values()
    starred = any(item.kind is inspect.Parameter.VAR_POSITIONAL for item in parameters)
    return (shapes,) if starred else shapes


def _compare_ports(spec: GraphSpec, variant_float: Float, model: ir.Model) -> None:
    made = [*model.graph.inputs, *model.graph.outputs]
    declared = {**spec.inputs, **spec.outputs, **spec.taps}
    if [value.name for value in made] != list(declared):
        raise BuildError(
            "V2V-E7011",
            f"graph {spec.name!r} came out with the ports {[value.name for value in made]}",
            f"{list(declared)}",
            "have forward take the declared inputs and return the declared outputs, then the taps, in order",
        )
    for value in made:
        name = str(value.name)
        tensor = declared[name]
        wanted_shape: tuple[int | str, ...] = tensor.shape
        if name in spec.dynamic_rows:
            wanted_shape = (ROWS, *tensor.shape[1:])
        dims = () if value.shape is None else tuple(value.shape)
        shape = tuple(dim if isinstance(dim, int) else str(dim.value) for dim in dims)
        wanted = kind(tensor.dtype, variant_float).onnx
        if value.dtype != wanted or shape != wanted_shape:
            raise BuildError(
                "V2V-E7011",
                f"port {name!r} of graph {spec.name!r} is {value.dtype} {list(shape)}",
                f"{wanted} {list(wanted_shape)}",
                "correct the declaration in the system's graphs, or the module's cast or shape",
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of packages that are not installed and of its own deprecations: not our user's."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _first_lines(error: BaseException, count: int = 3) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: " + " / ".join(lines[:count])

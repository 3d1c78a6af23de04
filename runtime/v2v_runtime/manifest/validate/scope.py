"""Names and their types: what a program declares, and what each phase's calls make."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.model import (
    BUILTINS,
    Binding,
    Call,
    Graph,
    Manifest,
    Phase,
    Program,
    TensorSpec,
    View,
)

Kind = Literal["input", "slot", "param", "const", "builtin", "temporary"]
A_KIND: Mapping[Kind, str] = {
    "input": "the input",
    "slot": "a slot",
    "param": "a param",
    "const": "a const",
    "builtin": "a builtin counter",
    "temporary": "a temporary",
}
MAX_TENSOR_BYTES = 2**40
_ITEM_BYTES = {"bool": 1, "uint8": 1, "float16": 2, "int32": 4, "float32": 4, "float": 4, "int64": 8}


@dataclass(frozen=True, slots=True)
class Declared:
    """What a name stands for, and the type and shape of reading it whole."""

    kind: Kind
    spec: TensorSpec


@dataclass(frozen=True, slots=True)
class PhaseScope:
    """One phase with the names that its calls can use.

    Attributes:
        path: the phase's JSON path.
        steps: steps until the phase's schedules repeat, or until it ends.
        masks: for each call, the steps of these in which it can run, as bits (step 0 the lowest).
        names: every name that the phase can read, its own temporaries included.
        makers: temporary -> positions in ``phase.calls`` of the calls that make it, in order.
    """

    program: Program
    graphs: Mapping[str, Graph]
    phase: Phase
    path: str
    steps: int
    masks: tuple[int, ...]
    names: Mapping[str, Declared]
    makers: Mapping[str, tuple[int, ...]]

    def call_path(self, position: int) -> str:
        return f"{self.path}.calls[{position}]"

    def kind(self, name: str) -> Kind:
        return self.names[name].kind

    def is_partial(self, name: str) -> bool:
        """Whether ``rows`` may leave some or all of the temporary unwritten."""
        makers = (self.phase.calls[position] for position in self.makers.get(name, ()))
        return any(
            call.rows is not None and port in call.rows.ports
            for call in makers
            for port, binding in writes(call)
            if bound_name(binding) == name
        )


def bound_name(binding: Binding) -> str:
    """The name that a binding is or views."""
    return binding.name if isinstance(binding, View) else binding


def reads(call: Call) -> Iterator[tuple[str, str]]:
    """(JSON key below the call, name) of each name that a call reads; ``rows.count`` is one."""
    for port, binding in sorted(call.inputs.items()):
        yield f"inputs.{port}", bound_name(binding)
    if call.rows is not None:
        yield "rows.count", call.rows.count


def writes(call: Call) -> Iterator[tuple[str, Binding]]:
    """(port, binding) of each output that is not thrown away."""
    for port, binding in sorted(call.outputs.items()):
        if binding is not None:
            yield port, binding


def check_one_stream(program: Program) -> None:
    """V2V-E2042."""
    for key, found in (("inputs", program.inputs), ("outputs", program.outputs)):
        if len(found) != 1:
            raise ManifestError(
                Code.ONE_STREAM,
                f"program.{key}",
                f"{len(found)} {key}",
                "exactly one in version 1",
                "play several bundles side by side for several videos",
            )


def declare(manifest: Manifest) -> dict[str, Declared]:
    """The names that hold in every phase, the input apart (its shape is each phase's own).

    Raises:
        ManifestError: V2V-E2023, E2040, E2041, E2070.
    """
    program = manifest.program
    names: dict[str, Declared] = {}
    taken = dict.fromkeys(program.inputs, "program.inputs")
    for name in program.inputs:
        _check_builtin(name, f"program.inputs.{name}")
    groups: tuple[tuple[Kind, str, Mapping[str, TensorSpec]], ...] = (
        ("slot", "program.slots", {k: TensorSpec(v.dtype, v.shape) for k, v in program.slots.items()}),
        ("param", "program.params", {k: TensorSpec(v.dtype, v.shape) for k, v in program.params.items()}),
        ("const", "program.consts", {k: TensorSpec(v.dtype, v.shape) for k, v in program.consts.items()}),
    )
    for kind, path, specs in groups:
        for name, spec in sorted(specs.items()):
            where = f"{path}.{name}"
            _check_builtin(name, where)
            if name in taken:
                raise ManifestError(
                    Code.NAME_TAKEN,
                    where,
                    f"{taken[name]} has {name!r} too",
                    "names of their own",
                    "rename one",
                )
            check_size(spec, where)
            taken[name] = path
            names[name] = Declared(kind, spec)
    counter = Declared("builtin", TensorSpec("int64", (1,)))
    names.update(dict.fromkeys(BUILTINS, counter))
    for name, slot in sorted(program.slots.items()):
        if slot.ring is None:
            continue
        if slot.ring.length != slot.shape[0]:
            raise ManifestError(
                Code.RING,
                f"program.slots.{name}.ring.length",
                str(slot.ring.length),
                f"{slot.shape[0]}, the slot's axis 0",
            )
        names[f"{name}.count"] = counter
    return names


def check_size(spec: TensorSpec, path: str) -> None:
    """V2V-E2023: a tensor of more than 2^40 bytes."""
    if math.prod(spec.shape) * _ITEM_BYTES[spec.dtype] > MAX_TENSOR_BYTES:
        seen = f"{spec.dtype} {list(spec.shape)}"
        raise ManifestError(Code.TENSOR_SIZE, path, seen, f"at most {MAX_TENSOR_BYTES} bytes (1 TiB)")


def check_graphs(graphs: Mapping[str, Graph]) -> None:
    """V2V-E2023, E2040: each graph's ports."""
    for name, graph in sorted(graphs.items()):
        for side, ports in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            for port, spec in sorted(ports.items()):
                where = f"graphs.{name}.{side}.{port}"
                check_size(spec, where)
                if side == "outputs" and port in graph.inputs:
                    raise ManifestError(
                        Code.NAME_TAKEN, where, f"{port!r} is an input too", "ports of different names"
                    )


def _check_builtin(name: str, path: str) -> None:
    if name in BUILTINS:
        raise ManifestError(
            Code.SHADOWS_BUILTIN, path, f"{name!r} is a counter that the machine gives", "another name"
        )

"""Bytes of a stream's state and of its temporaries, from the program alone.

The machine gives a slot a second buffer where a step writes it as a whole (the commit swaps the two), stages
an entry where a step writes a ring or a view (the commit copies it), and needs neither where the port is
bound in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from v2v_runtime.dtypes import numpy_dtype
from v2v_runtime.manifest.model import Binding, Call, DType, Graph, Phase, Program, Variant, View


@dataclass(frozen=True)
class StateBytes:
    """Bytes that a stream holds besides its engines.

    Attributes:
        slots: slot -> bytes of its value.
        second: slot -> bytes of its second buffer, where it has one.
        staged: slot -> bytes of the entries or views staged until a step commits, where there are any.
        params, consts: in all.
        temporaries: phase -> what its calls make and no slot keeps, and its gathered frames.
    """

    slots: Mapping[str, int]
    second: Mapping[str, int]
    staged: Mapping[str, int]
    params: int
    consts: int
    temporaries: Mapping[str, int]

    @property
    def state(self) -> int:
        """Slots with what their commits need."""
        return sum(self.slots.values()) + sum(self.second.values()) + sum(self.staged.values())

    @property
    def lasting(self) -> int:
        """What every phase holds."""
        return self.state + self.params + self.consts


def count_state(program: Program, graphs: Mapping[str, Graph], variant: Variant) -> StateBytes:
    """Counts what ``program`` holds when it plays ``variant``."""
    size = Sizes(variant.float)
    slots = {name: size(slot.dtype, slot.shape) for name, slot in program.slots.items()}
    second: dict[str, int] = {}
    staged: dict[str, int] = {}
    for phase in program.phases:
        here: dict[str, int] = {}
        for call, port, binding in _writes(phase):
            name = binding.name if isinstance(binding, View) else binding
            if name not in slots or port in _in_place(phase, call, variant):
                continue
            if isinstance(binding, View):
                here[name] = here.get(name, 0) + slots[name] // program.slots[name].shape[0] * binding.length
            elif program.slots[name].ring is not None:
                here[name] = slots[name] // program.slots[name].shape[0]
            else:
                second[name] = slots[name]
        # Phases never run at the same time: the largest need serves them all.
        staged = {name: max(staged.get(name, 0), here.get(name, 0)) for name in staged | here}
    return StateBytes(
        slots=slots,
        second=second,
        staged=staged,
        params=sum(size(item.dtype, item.shape) for item in program.params.values()),
        consts=sum(size(item.dtype, item.shape) for item in program.consts.values()),
        temporaries={phase.name: _temporaries(program, phase, graphs, size) for phase in program.phases},
    )


class Sizes:
    """Bytes of a tensor in a variant that calls ``"float"`` ``float_type``."""

    def __init__(self, float_type: str) -> None:
        self._float = float_type

    def __call__(self, dtype: DType, shape: tuple[int, ...]) -> int:
        return prod(shape) * numpy_dtype(dtype, self._float).itemsize


def _writes(phase: Phase) -> Iterator[tuple[Call, str, Binding]]:
    for call in phase.calls:
        for port, binding in call.outputs.items():
            if binding is not None:
                yield call, port, binding


def _in_place(phase: Phase, call: Call, variant: Variant) -> tuple[str, ...]:
    override = variant.calls.get(f"{phase.name}/{call.name}")
    return call.in_place if override is None or override.in_place is None else override.in_place


def _temporaries(program: Program, phase: Phase, graphs: Mapping[str, Graph], size: Sizes) -> int:
    total = sum(phase.gather * frame.height * frame.width * 3 for frame in program.inputs.values())
    made: dict[str, int] = {}
    for call, port, binding in _writes(phase):
        spec = graphs[call.graph].outputs[port]
        nbytes = size(spec.dtype, spec.shape)
        if isinstance(binding, View):
            # A view writes its rows of a tensor that reaches at least to its end.
            nbytes = nbytes // binding.length * (binding.start + binding.length)
            name = binding.name
        else:
            name = binding
        if name not in program.slots:
            made[name] = max(made.get(name, 0), nbytes)
    return total + sum(made.values())

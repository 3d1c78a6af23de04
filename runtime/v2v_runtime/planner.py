"""Turns a phase of the program into step plans over one stream's tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm
from typing import Any

from v2v_runtime.backends.base import Scalars, Tensor
from v2v_runtime.counters import Counters
from v2v_runtime.dtypes import concrete, numpy_dtype
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, Changed, Every, Phase, Program, View
from v2v_runtime.plan import CallPlan, Flag, Operand, PortOperand, RowsPlan, StepPlan
from v2v_runtime.plan_builder import PlanBuilder
from v2v_runtime.session import Session
from v2v_runtime.slots import SlotState
from v2v_runtime.state import StreamState

#: Plans are made beforehand for the steps of one period, up to this many steps; later ones when they are met.
MAX_PERIOD = 4096


@dataclass(frozen=True, slots=True)
class Write:
    """One output bound to a slot: ``length`` entries from ``start`` by the call at ``position``."""

    position: int
    port: str
    start: int
    length: int
    in_place: bool
    conditional: bool


class Planner:
    """Makes and keeps the step plans of one phase.

    Attributes:
        phase: the phase.
        flags, late_flags: the checks of the main and of the late calls; None where there are none.
    """

    def __init__(self, phase: Phase, session: Session, state: StreamState, counters: Counters) -> None:
        self.phase = phase
        self._session = session
        self._program: Program = session.program
        self._state = state
        self._counters = counters
        self._operands: dict[Any, Operand] = {}
        self._temps: dict[str, Tensor] = {}
        self._calls: dict[Any, CallPlan] = {}
        self._plans: dict[int, StepPlan] = {}
        self._writes = {name: tuple(self._writes_of(name)) for name in state.slots}
        self._derived = {
            name
            for name, writes in self._writes.items()
            if any(isinstance(phase.calls[w.position].when, Changed) for w in writes)
        }
        for name, writes in self._writes.items():
            if name in self._derived or self._covers(name, writes):
                state.slots[name].make_double()
        self.flags, self.late_flags, self._flag_index = self._make_flags()
        self._every = tuple(
            (1 << i, c.when.every, frozenset(c.when.at))
            for i, c in enumerate(phase.calls)
            if isinstance(c.when, Every)
        )
        self._always = sum(1 << i for i, c in enumerate(phase.calls) if c.when is None)
        #: position bit -> params, for the calls that run when a param has changed.
        self.changed = {
            1 << i: frozenset(c.when.changed)
            for i, c in enumerate(phase.calls)
            if isinstance(c.when, Changed)
        }

    def prepare(self) -> None:
        """Makes the plans of one period, so that nothing is allocated while the stream plays."""
        period = lcm(*(every for _, every, _ in self._every)) if self._every else 1
        if self.phase.steps != "forever":
            period = min(period, self.phase.steps)
        all_changed = sum(self.changed)
        self.plan(self.active(0) | all_changed)
        for step in range(min(period, MAX_PERIOD)):
            self.plan(self.active(step))

    def active(self, step: int) -> int:
        """The calls that the schedules run in a step, as bits by position; ``changed`` ones left out."""
        active = self._always
        for bit, every, at in self._every:
            if step % every in at:
                active |= bit
        return active

    def plan(self, active: int) -> StepPlan:
        """The plan for a set of calls."""
        plan = self._plans.get(active)
        if plan is None:
            plan = self._plans[active] = PlanBuilder(self, active).build()
        return plan

    def unbind(self) -> None:
        """Forgets every bound run, before engines are freed."""
        for call in self._calls.values():
            call.unbind()

    def frames_made(self) -> int:
        """Frames that one step of the phase makes; 0 where it hands nothing over."""
        emit = self.plan(self.active(0) | sum(self.changed)).emit
        return 0 if emit is None else emit.tensors[0].shape[0]

    def temporary(self, name: str) -> Tensor | None:
        """The tensor of a temporary, if some plan has it."""
        return self._temps.get(name)

    def position_of(self, tensor: str) -> int:
        """The position of the call that makes ``tensor``."""
        return next(i for i, c in enumerate(self.phase.calls) if tensor in c.outputs.values())

    def writes(self, name: str, active: int) -> tuple[Write, ...]:
        """The writes to a slot by a set of calls."""
        return tuple(w for w in self._writes[name] if active >> w.position & 1)

    def is_derived(self, name: str) -> bool:
        return name in self._derived

    def covers(self, name: str, writes: tuple[Write, ...]) -> bool:
        return self._covers(name, writes)

    def whole(self, name: str, flip: int = 0) -> Operand:
        """A slot's value, or with ``flip`` its other buffer."""
        return self._slot_operand(name, None, flip)

    def part(self, name: str, start: int, length: int, flip: int = 0) -> Operand:
        """A view of a slot's value, or of its other buffer."""
        whole = self._state.slots[name].buffers[0].shape[0]
        return self._slot_operand(name, None if length == whole else (start, length), flip)

    def entry(self, name: str) -> Operand:
        """The entry of a ring that is written next."""
        key = ("entry", name)
        if key not in self._operands:
            slot = self._state.slots[name]
            assert slot.ring is not None
            entries = tuple(slot.value.view(i, 1) for i in range(slot.ring.length))
            self._operands[key] = Operand(entries, slot.ring)
        return self._operands[key]

    def staging(self, call: Call, port: str) -> Operand:
        """A temporary of an output port's type that is copied to its slot later."""
        key = ("staging", call.name, port)
        if key not in self._operands:
            self._operands[key] = Operand((self._new_temporary(call, port),))
        return self._operands[key]

    def fetched(self, call: Call, port: str) -> Operand:
        """A temporary of an input port's type, for what its graph cannot read where it lies."""
        key = ("fetched", call.name, port)
        if key not in self._operands:
            spec = self._session.manifest.graphs[call.graph].inputs[port]
            where = concrete(spec, self._session.float_type)
            self._operands[key] = Operand((self._state.temporary(self.phase.name, *where),))
        return self._operands[key]

    def reachable(self, operand: Operand) -> bool:
        """Whether graphs can read and write it where it lies, whichever of its tensors it means."""
        return all(self._state.reachable(tensor) for tensor in operand.tensors)

    def made(self, call: Call, port: str, name: str | None) -> Operand:
        """The tensor of a temporary that ``call`` makes; ``name`` None: a check that is bound to nothing."""
        key = ("temp", name) if name is not None else ("temp", call.name, port)
        if key not in self._operands:
            if port in call.check:
                scalars = self.late_flags if call.late else self.flags
                assert scalars is not None
                tensor = scalars.tensors[self._flag_index[call.name, port]]
            else:
                tensor = self._new_temporary(call, port)
            self._operands[key] = Operand((tensor,))
            if name is not None:
                self._temps[name] = tensor
        return self._operands[key]

    def flag(self, call: Call, port: str) -> Flag:
        return Flag(self._flag_index[call.name, port], port)

    def named(self, name: str, part: tuple[int, int] | None) -> Operand:
        """What is neither slot nor temporary: the input, a param, a const, a builtin."""
        key = ("named", name, part)
        if key not in self._operands:
            if name in self._program.inputs:
                frames = self._state.inputs[self.phase.name]
                self._operands[key] = Operand(tuple(_part(b, part) for b in frames.buffers), frames)
            else:
                self._operands[key] = Operand((self._named_tensor(name, part),))
        return self._operands[key]

    def call_plan(
        self, position: int, inputs: tuple[PortOperand, ...], outputs: tuple[PortOperand, ...]
    ) -> CallPlan:
        """The call over these operands, shared between plans."""
        call = self.phase.calls[position]
        key = (position, *(id(o.operand) for o in inputs), *(id(o.operand) for o in outputs))
        if key not in self._calls:
            rows = None
            if call.rows is not None:
                rows = RowsPlan(
                    call.rows.count,
                    self._temps[call.rows.count],
                    self._session.buckets(self.phase.name, call),
                    call.rows.at_zero == "skip",
                )
            self._calls[key] = CallPlan(
                call.name, call.graph, inputs, outputs, rows, self._session, self._counters
            )
        return self._calls[key]

    def in_place(self, call: Call) -> tuple[str, ...]:
        return self._session.in_place(self.phase.name, call)

    def slot(self, name: str) -> SlotState | None:
        return self._state.slots.get(name)

    def _slot_operand(self, name: str, part: tuple[int, int] | None, flip: int) -> Operand:
        key = ("slot", name, part, flip)
        if key not in self._operands:
            slot = self._state.slots[name]
            tensors = tuple(_part(buffer, part) for buffer in slot.buffers)
            self._operands[key] = Operand(tensors, slot if len(tensors) > 1 else None, flip)
        return self._operands[key]

    def _named_tensor(self, name: str, part: tuple[int, int] | None) -> Tensor:
        if part is not None and name in self._state.params:
            return self._state.param_part(name, *part)
        if part is not None and name in self._session.consts:
            return self._session.const_part(name, *part)
        tensor = self._state.params.get(name) or self._session.consts.get(name) or self._state.builtin(name)
        return _part(tensor or self._temps[name], part)

    def _new_temporary(self, call: Call, port: str) -> Tensor:
        spec = self._session.manifest.graphs[call.graph].outputs[port]
        return self._state.temporary(self.phase.name, *concrete(spec, self._session.float_type))

    def _writes_of(self, name: str) -> Iterator[Write]:
        slot = self._state.slots[name]
        for position, call in enumerate(self.phase.calls):
            conditional = call.rows is not None and call.rows.at_zero == "skip"
            for port, binding in call.outputs.items():
                start, length = 0, slot.value.shape[0]
                if isinstance(binding, View):
                    start, length = binding.start, binding.length
                    binding = binding.name
                if binding != name:
                    continue
                if call.rows is not None and port in call.rows.ports:
                    raise StreamError(
                        "V2V-E3070",
                        f"call {self.phase.name}/{call.name} writes slot {name!r} through rows port {port!r}",
                        "a slot is written as a whole or by fixed views",
                        "let another graph write the slot from the rows",
                    )
                in_place = port in self.in_place(call)
                yield Write(position, port, start, length, in_place, conditional)

    def _covers(self, name: str, writes: tuple[Write, ...]) -> bool:
        """Whether these writes may go to the back buffer: together they fill it, or none of them runs."""
        slot = self._state.slots[name]
        if slot.ring is not None or not writes or any(w.in_place for w in writes):
            return False
        if len(writes) > 1 and any(w.conditional for w in writes):
            return False
        return sum(w.length for w in writes) == slot.value.shape[0]

    def _make_flags(self) -> tuple[Scalars | None, Scalars | None, dict[tuple[str, str], int]]:
        index: dict[tuple[str, str], int] = {}
        packs: list[Scalars | None] = []
        for late in (False, True):
            places: dict[str | tuple[str, str], int] = {}
            for call in self.phase.calls:
                for port in call.check if call.late == late else ():
                    binding = call.outputs[port]
                    place = binding if isinstance(binding, str) else (call.name, port)
                    index[call.name, port] = places.setdefault(place, len(places))
            packs.append(self._state.scalars(numpy_dtype("bool", ""), len(places)) if places else None)
        return packs[0], packs[1], index


def _part(tensor: Tensor, part: tuple[int, int] | None) -> Tensor:
    return tensor if part is None else tensor.view(*part)

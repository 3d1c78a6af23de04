"""Builds one step plan: where each port of each call reads and writes, and what the commit does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Binding, View
from v2v_runtime.manifest.updates import updated_views
from v2v_runtime.plan import Commit, Copy, Operand, PortOperand, SkipPlan, StepCall, StepPlan

if TYPE_CHECKING:
    from v2v_runtime.planner import Planner


class PlanBuilder:
    """Builds the plan of one set of calls."""

    def __init__(self, planner: Planner, active: int) -> None:
        self._p = planner
        self._phase = planner.phase
        self._active = active
        self._positions = [i for i in range(len(self._phase.calls)) if active >> i & 1]
        self._skip_after = -1
        if self._phase.skip is not None:
            maker = planner.position_of(self._phase.skip.tensor)
            if active >> maker & 1:
                self._skip_after = maker
        #: Slots with a new value that later calls of the step read already.
        self._fresh: set[str] = set()
        #: Slots overwritten in place -> the call that did it.
        self._overwritten: dict[str, str] = {}
        self._poisonable: list[Operand] = []
        late = [self._phase.calls[i] for i in self._positions if self._phase.calls[i].late]
        self._late_reads = {_name(b) for call in late for b in call.inputs.values()}

    def build(self) -> StepPlan:
        calls = [self._step_call(i) for i in sorted(self._positions, key=self._late)]
        main = tuple(c for c in calls if not self._late(c.position))
        late = tuple(c for c in calls if self._late(c.position))
        skip = None
        if self._phase.skip is not None and self._skip_after >= 0:
            after = next(i for i, c in enumerate(main) if c.position == self._skip_after)
            flag = self._p.temporary(self._phase.skip.tensor)
            assert flag is not None
            skip = SkipPlan(after, flag, self._p.whole(self._phase.skip.frame))
        return StepPlan(
            main,
            late,
            skip,
            None if self._phase.emit is None else self._read(self._phase.emit.tensor, "emit"),
            Commit.union(c.commit for c in main),
            Commit.union(c.commit for c in late),
            tuple(sorted({flag.index for c in main for flag in c.flags})),
            tuple(self._poisonable),
        )

    def _late(self, position: int) -> bool:
        return self._phase.calls[position].late

    def _segment(self, position: int) -> int:
        """0: up to the skip, 1: after it, 2: late. Only writes of one segment commit together."""
        return 2 if self._late(position) else int(position > self._skip_after)

    def _step_call(self, position: int) -> StepCall:
        call = self._phase.calls[position]
        rows = set(call.rows.ports) if call.rows is not None else set()
        where = f"{self._phase.name}/{call.name}"
        inputs: list[PortOperand] = []
        outputs: list[PortOperand] = []
        prepare: list[Copy] = []
        finish: list[Copy] = []
        commits: list[Commit] = []
        fresh: set[str] = set()
        for port, source in call.inputs.items():
            operand = self._read(source, where)
            if not self._p.reachable(operand):
                fetched = self._p.fetched(call, port)
                prepare.append(Copy(fetched, operand))
                operand = fetched
            inputs.append(PortOperand(port, operand, port in rows))
        for port, binding in call.outputs.items():
            name = None if binding is None else _name(binding)
            if name is not None and self._p.slot(name) is not None:
                written = self._write(position, port, name)
                operand = written.operand
                prepare.extend(written.prepare)
                finish.extend(written.finish)
                commits.append(written.commit)
                if self._p.is_derived(name):
                    fresh.add(name)
            elif name is not None or port in call.check:
                operand = self._p.made(call, port, name)
            else:
                continue
            outputs.append(PortOperand(port, operand, port in rows))
        self._fresh |= fresh
        return StepCall(
            self._p.call_plan(position, tuple(inputs), tuple(outputs)),
            position,
            tuple(prepare),
            tuple(finish),
            Commit.union(commits),
            tuple(self._p.flag(call, port) for port in call.check),
        )

    def _read(self, binding: Binding, where: str) -> Operand:
        name = _name(binding)
        part = (binding.start, binding.length) if isinstance(binding, View) else None
        if self._p.slot(name) is None:
            return self._p.named(name, part)
        if name in self._overwritten:
            raise StreamError(
                "V2V-E3070",
                f"{where} reads slot {name!r} after {self._overwritten[name]} wrote it in place",
                "the value at the start of the step, which is gone",
                "do not write this slot in place",
            )
        flip = int(name in self._fresh)
        return self._p.whole(name, flip) if part is None else self._p.part(name, *part, flip)

    def _write(self, position: int, port: str, name: str) -> _Written:
        """Where an output that is bound to a slot goes."""
        call = self._phase.calls[position]
        slot = self._p.slot(name)
        assert slot is not None
        writes = self._p.writes(name, self._active)
        write = next(w for w in writes if w.position == position and w.port == port)
        part = self._p.entry(name) if slot.ring else self._p.part(name, write.start, write.length)
        rings = (slot.ring,) if slot.ring else ()
        if write.in_place and self._p.reachable(part):
            self._overwritten[name] = call.name
            # Of what a graph updates, it alone knows which entries it rewrites.
            if not any(updated_views(call, (port,))):
                self._poisonable.append(part)
            return _Written(part, commit=Commit(rings=rings))
        together = len({self._segment(w.position) for w in writes}) == 1
        whole = together and self._p.covers(name, writes)
        derived = self._p.is_derived(name)
        if not whole and not derived:
            staged = self._p.staging(call, port)
            deferred = not call.late and name in self._late_reads
            return _Written(staged, commit=Commit(copies=(Copy(part, staged, deferred),), rings=rings))
        # Later calls read a derived slot's back buffer: it must hold a whole value whatever is written.
        prepare: tuple[Copy, ...] = ()
        if derived and (not whole or write.conditional) and write is writes[0]:
            prepare = (Copy(self._p.whole(name, 1), self._p.whole(name)),)
        back = self._p.part(name, write.start, write.length, 1)
        commit = Commit(swaps=(slot,))
        if self._p.reachable(back):
            return _Written(back, prepare, commit=commit)
        staged = self._p.staging(call, port)
        return _Written(staged, prepare, (Copy(back, staged),), commit)


@dataclass(frozen=True, slots=True, eq=False)
class _Written:
    """What an output's port is bound to, the copies around the call, and what the commit does."""

    operand: Operand
    prepare: tuple[Copy, ...] = ()
    finish: tuple[Copy, ...] = ()
    commit: Commit = field(default_factory=Commit)


def _name(binding: Binding) -> str:
    return binding.name if isinstance(binding, View) else binding

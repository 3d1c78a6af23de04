"""Slots without a starting value, and whether they hold one yet.

Every slot has an init, but the program may never read it: where the phases, played in their own order, write
the whole slot before any of them reads it, the init only fills memory (a warm-up's keys and values, the
reference that the first frame leaves). Entering a phase by hand is no way to read it either: the phase that
writes such a slot must have run to its end first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Binding, Call, Changed, Every, Phase, Program, View


@dataclass(frozen=True, slots=True)
class _Flow:
    """What a phase does with slots, played from its first step to its last.

    Attributes:
        reads: those that it reads before it has written them whole.
        makes: those that it writes whole, without such a read; none in the last phase, which has no end.
    """

    reads: frozenset[str]
    makes: frozenset[str]


class Written:
    """Which of a program's slots without a starting value have been written since the last reset.

    What counts as written whole, in a phase: every entry is written, by calls that run whatever the frames
    show and that cannot fail after the step (``rows`` with ``at_zero: skip`` may be left out, late calls
    fail on their own). Rings are left aside: one that nothing was appended to says so by its count. So are
    derived slots, which each phase writes before it reads them.
    """

    def __init__(self, program: Program) -> None:
        self._phases = program.phases
        flows = {phase.name: _flow(program, phase) for phase in program.phases}
        made: set[str] = set()
        meant: set[str] = set()
        for phase in program.phases:
            made.difference_update(phase.resets)
            meant |= flows[phase.name].reads - made
            made |= flows[phase.name].makes
        self._needs = {name: flow.reads - meant for name, flow in flows.items()}
        self._makes = {name: flow.makes - meant for name, flow in flows.items()}
        self._whole: set[str] = set()

    def stepped(self, phase: Phase, steps: int) -> None:
        """``phase`` has run ``steps`` steps: what it makes is whole after its last one, and not before."""
        if steps == phase.steps:
            self._whole |= self._makes[phase.name]
        else:
            self._whole -= self._makes[phase.name]

    def given(self, slots: Iterable[str]) -> None:
        """Slots were set to values that somebody chose."""
        self._whole.update(slots)

    def forget(self, slots: Iterable[str]) -> None:
        """Slots were set back to their init."""
        self._whole.difference_update(slots)

    def refuse(self, phases: Iterable[Phase]) -> None:
        """Raises V2V-E3033 if a phase would read what nothing has written.

        Args:
            phases: the one that is to be entered and those that follow it.
        """
        whole = set(self._whole)
        for phase in phases:
            whole.difference_update(phase.resets)
            missing = sorted(self._needs[phase.name] - whole)
            if missing:
                maker = self._maker(phase, missing[0])
                assert maker.steps != "forever"
                more = f" and {len(missing) - 1} more slots" if len(missing) > 1 else ""
                raise StreamError(
                    "V2V-E3033",
                    f"phase {phase.name!r} reads {missing[0]}{more}, which phase {maker.name!r} has not "
                    "written",
                    f"a run of phase {maker.name!r} to its end since the start or the last reset",
                    f"push the {maker.steps * maker.gather} frames of {maker.name!r} (enter it first where "
                    f"the stream is past it): {phase.name!r} follows by itself",
                )
            whole |= self._makes[phase.name]

    def clear(self) -> None:
        """Every slot was set back to its init."""
        self._whole.clear()

    def copy(self) -> frozenset[str]:
        """For a snapshot."""
        return frozenset(self._whole)

    def restore(self, slots: Collection[str]) -> None:
        """What ``copy`` gave."""
        self._whole = set(slots)

    def _maker(self, phase: Phase, slot: str) -> Phase:
        """The last phase before ``phase`` that makes a slot; the program's own order has one."""
        earlier = self._phases[: self._phases.index(phase)]
        return next(each for each in reversed(earlier) if slot in self._makes[each.name])


def _flow(program: Program, phase: Phase) -> _Flow:
    derived = {
        _name(binding)
        for each in program.phases
        for call in each.calls
        if isinstance(call.when, Changed)
        for binding in call.outputs.values()
        if binding is not None
    }
    reads: dict[str, int] = {}
    writes: dict[str, list[tuple[int, int, int]]] = {}
    for call in phase.calls:
        for binding in call.inputs.values():
            name = _name(binding)
            reads[name] = min(reads.get(name, _first(call)), _first(call))
        if call.late or (call.rows is not None and call.rows.at_zero == "skip"):
            continue
        for output in call.outputs.values():
            if output is not None and _name(output) in program.slots:
                length = program.slots[_name(output)].shape[0]
                start, size = (output.start, output.length) if isinstance(output, View) else (0, length)
                writes.setdefault(_name(output), []).append((_first(call), start, start + size))
    exposed, made = set(), set()
    for name, slot in program.slots.items():
        if slot.ring is not None or name in derived:
            continue
        whole_at = _whole_at(writes.get(name, []), slot.shape[0])
        if name in reads and (whole_at is None or reads[name] <= whole_at):
            exposed.add(name)
        elif whole_at is not None and phase.steps != "forever":
            made.add(name)
    return _Flow(frozenset(exposed), frozenset(made))


def _first(call: Call) -> int:
    """The first step of its phase in which a call runs."""
    return call.when.at[0] if isinstance(call.when, Every) else 0


def _whole_at(writes: list[tuple[int, int, int]], length: int) -> int | None:
    """The step whose end finds every entry written, of writes (step, start, stop); None: none does."""
    for last in sorted({step for step, _, _ in writes}):
        end = 0
        for start, stop in sorted((start, stop) for step, start, stop in writes if step <= last):
            if start <= end:
                end = max(end, stop)
        if end >= length:
            return last
    return None


def _name(binding: Binding) -> str:
    return binding.name if isinstance(binding, View) else binding

"""What the machine runs: steps resolved to tensors, so that a step costs a few dictionary look-ups.

A phase has one ``StepPlan`` per set of calls that can run together (the schedules decide which). A plan's
calls name physical tensors, or several of them and the cell that chooses; the bound run of a call is looked
up by the indexes of its cells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from v2v_runtime.backends.base import Run, Tensor
from v2v_runtime.counters import Counters
from v2v_runtime.session import Session
from v2v_runtime.slots import Cell, Ring, SlotState

#: Bound runs that one call keeps: rings that turn out of step have as many keys as the product of their
#: lengths. Past that the run that was bound longest ago makes room.
MAX_RUNS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """One tensor, or the one of several that ``cell.index ^ flip`` chooses."""

    tensors: tuple[Tensor, ...]
    cell: Cell | None = None
    flip: int = 0

    def now(self) -> Tensor:
        """The tensor that it means at this moment."""
        return self.tensors[0] if self.cell is None else self.tensors[self.cell.index ^ self.flip]


@dataclass(frozen=True, slots=True, eq=False)
class PortOperand:
    """A port's operand; ``rows``: only the leading rows of it, as many as the bucket."""

    port: str
    operand: Operand
    rows: bool


@dataclass(frozen=True, slots=True, eq=False)
class RowsPlan:
    """See ``manifest.model.Rows``. ``count`` is the tensor that the machine reads."""

    name: str
    count: Tensor
    buckets: tuple[int, ...]
    skip_at_zero: bool


Key = tuple[int, ...]

#: A call's key, and the copies made before it.
Pinned = tuple[Key, tuple[tuple[Tensor, Tensor], ...]]


class CallPlan:
    """One call over fixed operands, with its bound runs.

    Attributes:
        name, graph: as in the program.
        rows: None when the call runs on the whole.
    """

    __slots__ = ("_cells", "_counters", "_inputs", "_outputs", "_runs", "_session", "graph", "name", "rows")

    def __init__(
        self,
        name: str,
        graph: str,
        inputs: tuple[PortOperand, ...],
        outputs: tuple[PortOperand, ...],
        rows: RowsPlan | None,
        session: Session,
        counters: Counters,
    ) -> None:
        self.name = name
        self.graph = graph
        self.rows = rows
        self._inputs = inputs
        self._outputs = outputs
        cells = (o.operand.cell for o in inputs + outputs)
        self._cells = tuple(dict.fromkeys(cell for cell in cells if cell is not None))
        self._runs: dict[tuple[Key, int], Run] = {}
        self._session = session
        self._counters = counters

    def key(self) -> Key:
        """The cells' indexes now: what says which physical tensors a run of this moment uses."""
        return tuple([cell.index for cell in self._cells])

    def run(self, key: Key, bucket: int) -> Run:
        """The bound run for a key, on ``bucket`` rows (0: on the whole)."""
        run = self._runs.get((key, bucket))
        if run is None:
            run = self._bind(key, bucket)
        return run

    def unbind(self) -> None:
        """Forgets every bound run, before its engine is freed."""
        self._runs.clear()

    def _bind(self, key: Key, bucket: int) -> Run:
        index = dict(zip(self._cells, key, strict=True))

        def tensors(operands: tuple[PortOperand, ...]) -> dict[str, Tensor]:
            chosen = {}
            for o in operands:
                cell = o.operand.cell
                tensor = o.operand.tensors[0 if cell is None else index[cell] ^ o.operand.flip]
                chosen[o.port] = tensor.view(0, bucket) if o.rows and bucket else tensor
            return chosen

        if len(self._runs) >= MAX_RUNS:
            del self._runs[next(iter(self._runs))]
        run = self._session.engine(self.graph).bind(tensors(self._inputs), tensors(self._outputs))
        self._runs[key, bucket] = run
        self._counters.bindings += 1
        return run


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """A device copy. ``deferred``: after the late calls, because one of them reads what it overwrites."""

    target: Operand
    source: Operand
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class Commit:
    """What makes the writes of some calls the slots' values."""

    swaps: tuple[SlotState, ...] = ()
    copies: tuple[Copy, ...] = ()
    rings: tuple[Ring, ...] = ()

    @staticmethod
    def union(commits: Iterable[Commit]) -> Commit:
        """All of them, each slot swapped once."""
        listed = tuple(commits)
        return Commit(
            tuple(dict.fromkeys(slot for c in listed for slot in c.swaps)),
            tuple(copy for c in listed for copy in c.copies),
            tuple(ring for c in listed for ring in c.rings),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Flag:
    """An all-finite flag: its place among the phase's flags, and where it comes from, for the message."""

    index: int
    port: str


@dataclass(frozen=True, slots=True, eq=False)
class StepCall:
    """A call within one plan.

    Attributes:
        plan: the call.
        position: its place in the phase's list of calls.
        prepare: copies made before it runs: a derived slot that is written in part; a view that its graph
            cannot read where it lies.
        finish: copies made after it: a view of a back buffer that its graph cannot write where it lies.
        commit: what its writes need at the end.
        flags: the checks that it fills.
    """

    plan: CallPlan
    position: int
    prepare: tuple[Copy, ...]
    finish: tuple[Copy, ...]
    commit: Commit
    flags: tuple[Flag, ...]

    def pin(self) -> Pinned:
        """What the call reads and writes at this moment, for a later one."""
        return self.plan.key(), tuple((copy.target.now(), copy.source.now()) for copy in self.prepare)


@dataclass(frozen=True, slots=True, eq=False)
class SkipPlan:
    """The flag is read once ``main[after]`` has run; ``frame`` is what is emitted again."""

    after: int
    flag: Tensor
    frame: Operand


@dataclass(frozen=True, slots=True, eq=False)
class StepPlan:
    """One set of calls of a phase.

    Attributes:
        main: the calls before the frames are handed over, in order.
        late: the calls after.
        skip: the program's skip, if its flag is made in this plan.
        emit: the tensor uint8 [E, H, W, 3] that is handed over.
        commit_main, commit_late: the union over all main, all late calls.
        flags_main: indexes of every flag that the main calls fill.
        in_place: what its calls overwrite in place, apart from what they update.
    """

    main: tuple[StepCall, ...]
    late: tuple[StepCall, ...]
    skip: SkipPlan | None
    emit: Operand | None
    commit_main: Commit = field(default_factory=Commit)
    commit_late: Commit = field(default_factory=Commit)
    flags_main: tuple[int, ...] = ()
    in_place: tuple[Operand, ...] = ()

"""Everything that a stream remembers, copied to the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from v2v_runtime.backends.base import Array
from v2v_runtime.errors import StreamError
from v2v_runtime.feed import Feed
from v2v_runtime.machine import Machine
from v2v_runtime.session import Session


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What ``Stream.snapshot`` gives and ``Stream.restore`` takes. Its arrays are the snapshot's own.

    Attributes:
        identity: of the bundle.
        float_type: of the variant.
        phase, step, frame_index: where the stream stands.
        to_drop: frames of the phase that are still to be dropped.
        emitted: a frame has been handed over, so that ``skip`` may repeat one.
        pending: calls of the phase that must run in the next step because params changed.
        ended: ``flush`` has ended the stream.
        accepted, handed_over: frames since the last reset; they number default timestamps and outputs.
        waiting: timestamps, oldest first.
        slots, params: name -> value.
        ring_counts: ring -> count.
        staged: frames of an unfinished gather, uint8 [N, H, W, 3].
        last: the last frame accepted, uint8 [1, H, W, 3], which ``flush`` repeats; None before the first.
        torn, written: see ``torn.Torn`` and ``written.Written``.
    """

    identity: str
    float_type: str
    phase: str
    step: int
    frame_index: int
    to_drop: int
    emitted: bool
    pending: tuple[str, ...]
    ended: bool
    accepted: int
    handed_over: int
    waiting: tuple[Any, ...]
    slots: Mapping[str, Array]
    params: Mapping[str, Array]
    ring_counts: Mapping[str, int]
    staged: Array
    last: Array | None
    torn: Mapping[str, tuple[str, ...]]
    written: frozenset[str]


def take_snapshot(
    session: Session, machine: Machine, feed: Feed, *, ended: bool, handed_over: int
) -> Snapshot:
    """The state of a stream whose late calls have ended."""
    state = machine.state
    return Snapshot(
        identity=session.manifest.identity,
        float_type=session.float_type,
        phase=machine.phase.name,
        step=state.step,
        frame_index=state.frame_index,
        to_drop=machine.to_drop,
        emitted=machine.emitted,
        pending=tuple(c.name for i, c in enumerate(machine.phase.calls) if machine.pending >> i & 1),
        ended=ended,
        accepted=feed.accepted,
        handed_over=handed_over,
        waiting=feed.waiting.items(),
        slots={name: slot.value.read() for name, slot in state.slots.items()},
        params={name: param.read() for name, param in state.params.items()},
        ring_counts={name: s.ring.count for name, s in state.slots.items() if s.ring is not None},
        staged=feed.read_staged(),
        last=None if feed.last is None else feed.last.read(),
        torn=machine.torn.copy(),
        written=machine.written.copy(),
    )


def check_snapshot(session: Session, snapshot: object) -> None:
    """That a snapshot fits what a session plays.

    Raises:
        StreamError: V2V-E3040 to E3042.
    """
    if not isinstance(snapshot, Snapshot):
        raise StreamError(
            "V2V-E3042",
            f"a {type(snapshot).__name__} was given to restore",
            "a Snapshot",
            "give what Stream.snapshot returned",
        )
    identity = session.manifest.identity
    if snapshot.identity != identity:
        raise StreamError(
            "V2V-E3040",
            f"the snapshot is of bundle {snapshot.identity[:16]}...",
            f"{identity[:16]}..., the bundle that this stream plays",
        )
    if snapshot.float_type != session.float_type:
        raise StreamError(
            "V2V-E3041",
            f"the snapshot holds {snapshot.float_type} state",
            f"{session.float_type}, as the variant of this stream",
        )


def put_back(snapshot: Snapshot, machine: Machine, feed: Feed) -> None:
    """Gives a stream the state of a snapshot that fits it."""
    phase = next(phase for phase in machine.phases if phase.name == snapshot.phase)
    machine.reset(phase)
    feed.reset()
    state = machine.state
    state.frame_index = snapshot.frame_index
    machine.enter(phase, "restore")
    machine.torn.restore(snapshot.torn)
    machine.written.restore(snapshot.written)
    state.step = snapshot.step
    machine.to_drop = snapshot.to_drop
    machine.emitted = snapshot.emitted
    machine.pending = sum(1 << i for i, c in enumerate(phase.calls) if c.name in snapshot.pending)
    for name, value in snapshot.slots.items():
        state.slots[name].value.write(value)
    for name, count in snapshot.ring_counts.items():
        ring = state.slots[name].ring
        assert ring is not None
        ring.set_count(count)
    for name, value in snapshot.params.items():
        state.write_param(name, value)
    feed.restore(snapshot.accepted, snapshot.waiting, snapshot.staged, snapshot.last)

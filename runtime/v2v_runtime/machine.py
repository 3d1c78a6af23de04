"""The machine: plays the program's phases step by step over one stream's tensors.

A step uploads the counters, runs its calls in order, reads their checks once, and commits. Until the commit
nothing that a later step reads has changed, so a step that fails, for whatever reason, leaves the state as it
was. What is late is started by the caller (``start_late``) and committed by ``settle``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from v2v_runtime.backends.base import Array, Tensor
from v2v_runtime.counters import Counters
from v2v_runtime.errors import StreamError, V2VError
from v2v_runtime.late import LateCalls, LateWorker
from v2v_runtime.manifest.model import Phase
from v2v_runtime.plan import Commit, StepPlan
from v2v_runtime.planner import Planner
from v2v_runtime.poison import poison
from v2v_runtime.residency import Residency
from v2v_runtime.runner import CallTime, Progress, Runner
from v2v_runtime.session import Session
from v2v_runtime.state import StreamState
from v2v_runtime.torn import Torn
from v2v_runtime.trace import PhaseEvent, StepEvent, Trace
from v2v_runtime.written import Written

_LOG = logging.getLogger(__name__)

Cause = Literal["start", "next", "enter", "reset", "restore"]
LateMode = Literal["thread", "inline"]


@dataclass(slots=True)
class Output:
    """What a step hands over: ``tensor`` uint8 [N, H, W, 3], or None for nothing."""

    tensor: Tensor | None
    dropped: int = 0
    skipped: bool = False

    @property
    def count(self) -> int:
        return 0 if self.tensor is None else self.tensor.shape[0]


class Machine:
    """Plays one stream. Not thread-safe.

    Attributes:
        state: the tensors.
        phase: the phase of the next step.
        emitted: a frame has been handed over since the start, so that ``skip`` may repeat one.
        to_drop: frames of this phase that are still to be dropped.
        pending: the phase's ``changed`` calls that must run in the next step, as bits by position.
        torn: what failed steps may have left half written.
        written: which slots without a starting value hold one.
    """

    def __init__(
        self, session: Session, counters: Counters, trace: Trace | None, late: LateMode, timing: bool
    ) -> None:
        self._session = session
        self.counters = counters
        self._trace = trace
        self._inline = late == "inline"
        self.state = StreamState(session, counters)
        self._planners = {
            phase.name: Planner(phase, session, self.state, counters) for phase in session.program.phases
        }
        for planner in self._planners.values():
            planner.prepare()
        self._worker = LateWorker()
        self._late: LateCalls | None = None
        self._runner = Runner(counters, timing)
        self._residency = Residency(session)
        self.torn = Torn()
        self.written = Written(session.program)
        self.phase: Phase = session.program.phases[0]
        self._stepped = self.phase.name
        self.emitted = False
        self.to_drop = 0
        self.pending = 0
        self.enter(self.phase, "start")

    def enter(self, phase: Phase, cause: Cause) -> None:
        """Enters a phase: loads its engines, resets its slots, its steps begin at 0.

        Raises:
            StreamError: V2V-E3032, see ``torn``; V2V-E3033, see ``written``; nothing has changed.
            BundleError, BackendError: an engine could not be loaded; nothing has changed but that engines of
                the phase that stays may have been let go, see ``ready``.
        """
        if cause == "enter":
            following = self.phases[self.phases.index(phase) :]
            self.torn.refuse(following)
            self.written.refuse(following)
        self._residency.hold(phase, self._unbind)
        self._begin(phase, cause)

    def _begin(self, phase: Phase, cause: Cause) -> None:
        if cause not in ("reset", "restore"):
            for name in phase.resets:
                self.state.slots[name].reset()
            self.written.forget(phase.resets)
            if phase.skip is not None and phase.skip.frame in phase.resets:
                self.emitted = False
        self.phase = phase
        self.state.step = 0
        self.to_drop = phase.emit.drop_first if phase.emit is not None else 0
        self.pending = sum(self._planner.changed)
        if self._trace is not None:
            self._trace(PhaseEvent(phase.name, self.state.frame_index, cause))

    def ready(self) -> None:
        """Loads engines of this phase that a failed ``enter`` let go.

        Called before each step's first frame and before late calls.
        """
        self._residency.hold(self.phase, self._unbind)

    def reset(self, following: Phase | None = None) -> None:
        """Back to before the first frame, with the engines of the phase that is entered then.

        Params keep what was set. Where the engines cannot be loaded nothing has changed.
        """
        self._settle_quietly()
        self._residency.hold(following or self.phases[0], self._unbind)
        self._late = None  # those that no collect has started
        self.torn.clear()
        self.written.clear()
        for slot in self.state.slots.values():
            slot.reset()
        self.state.frame_index = 0
        self.emitted = False
        self._begin(self.phases[0], "reset")

    def set_params(self, values: Mapping[str, Array]) -> None:
        """Sets params to values that fit, and marks the phase's calls that run when one has changed."""
        for name, array in values.items():
            self.state.write_param(name, array)
            self.counters.uploads += 1
            self.counters.uploaded_bytes += array.nbytes
        for bit, params in self._planner.changed.items():
            if not params.isdisjoint(values):
                self.pending |= bit

    def set_slots(self, values: Mapping[str, Array]) -> None:
        """Overwrites slots, all that are given or none. Raises StreamError: V2V-E3050 to E3052."""
        self.state.set_slots(values)
        self.written.given(values)

    def step(self, owed: int, flushing: bool) -> Output:
        """Runs one step over the staged frames and commits it.

        Args:
            owed: frames whose output is still to come, those of this step included.
            flushing: frames past ``owed`` are dropped (otherwise they fail the step), and nothing is skipped.

        Raises:
            StreamError: V2V-E3020 to E3023; nothing has changed.
        """
        state = self.state
        plan = self._planner.plan(self._planner.active(state.step) | self.pending)
        at = state.step, state.frame_index
        self._stepped = self.phase.name
        progress = Progress(self.phase.name)
        try:
            state.upload_builtins()
            # A flush repeats a frame to get the ones in flight out: a filter would skip each repeat.
            honoured = self.emitted and not flushing
            self._runner.run(plan.main, progress, skip=plan.skip if honoured else None)
            whole = len(progress.done) == len(plan.main)
            indexes = plan.flags_main if whole else [f.index for c in progress.done for f in c.flags]
            self._runner.check(self._planner.flags, indexes, progress)
            output, made = self._output(plan, progress.skipped, owed, flushing)
            # Before the commit moves the cells: late calls read what this step began with.
            keys = [] if progress.skipped else [call.pin() for call in plan.late]
            late_copies = self._commit(plan, progress)
        except BaseException as error:
            self.torn.fail(self.phase, {name for name, _ in progress.ran}, self._session.in_place)
            self.counters.failed += 1
            if self._trace is not None:
                code = error.code if isinstance(error, V2VError) else type(error).__name__
                self._trace(StepEvent.of(at, progress, failed=code))
            raise
        if not progress.skipped:
            self.torn.mend(self.phase)
            self.to_drop -= min(made, self.to_drop)
            state.step += 1
            self.written.stepped(self.phase, state.step)
            state.frame_index += self.phase.gather
            self.counters.steps += 1
        else:
            self.counters.skipped += 1
        self.counters.dropped += output.dropped
        if output.count:
            self.emitted = True
        if self._trace is not None:
            self._trace(StepEvent.of(at, progress, output.count, output.dropped))
        if keys or late_copies:
            late = Progress(self.phase.name, counts=progress.counts)
            self._late = LateCalls(plan, keys, self.phase.name, at[0], late, late_copies)
        return output

    def start_late(self) -> None:
        """Starts the late calls of the step before, if it has any.

        Never fails: the step's frames are handed over already. Without a thread the late calls failed, and
        where their engines, which a ``reset`` that failed has let go, cannot be loaded again.
        """
        late = self._late
        if late is None:
            return
        late.started = True
        if not late.keys:
            return
        try:
            self.ready()
            if self._inline:
                self._run_late(late)
            else:
                self._worker.start(lambda: self._run_late(late))
        except (V2VError, RuntimeError) as error:  # the latter: the system gives no more threads
            late.error = error

    def settle(self) -> None:
        """Waits for the late calls, commits them, and enters the next phase if this one has run its steps.

        Raises:
            StreamError: V2V-E3024, once, if a late call failed; then nothing that they wrote was committed.
            BackendError: an engine of the next phase could not be loaded.
        """
        late = self._late
        if late is not None:
            if not late.started:
                self.start_late()
            if late.keys and not self._inline:
                self._worker.wait()
            self._late = None
            error = self._finish_late(late)
            if error is not None:
                raise error
        if self.phase.steps != "forever" and self.state.step >= self.phase.steps:
            self.enter(self.phases[self.phases.index(self.phase) + 1], "next")

    def poison(self) -> tuple[str, ...]:
        """Overwrites what the next step writes in place: floats with NaN, the rest with ones.

        Views that a call updates are left alone. Returns the names of the calls that write in place; their
        graphs must not be able to tell.
        """
        plan = self._planner.plan(self._planner.active(self.state.step) | self.pending)
        poison(operand.now() for operand in plan.in_place)
        overwriting = (self._session.in_place(self.phase.name, c) for c in self.phase.calls)
        return tuple(c.name for c, ports in zip(self.phase.calls, overwriting, strict=True) if ports)

    def copy(self, target: Tensor, source: Tensor) -> None:
        """A device copy, counted."""
        self._runner.copy(target, source)

    @property
    def times(self) -> Mapping[str, CallTime]:
        """``phase/call`` -> its times, those of late calls included; empty unless asked for."""
        self._wait_for_late()
        return dict(self._runner.times or {})

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The program's phases."""
        return self._session.program.phases

    def owed_at_entry(self, phase: Phase) -> int:
        """Frames whose output is still to come whenever ``phase`` begins after those before it."""
        owed = 0
        for earlier in self.phases[: self.phases.index(phase)]:
            assert earlier.steps != "forever"
            owed += earlier.steps * earlier.gather
            if earlier.emit is not None:
                made = earlier.steps * self._planners[earlier.name].frames_made()
                owed -= max(0, made - earlier.emit.drop_first)
        return max(0, owed)

    def temporary(self, name: str) -> Tensor | None:
        """A temporary of the last step's phase."""
        return self._planners[self._stepped].temporary(name)

    def close(self) -> None:
        """Ends the late thread and lets the phase's engines go."""
        try:
            self._settle_quietly()
        finally:
            self._worker.close()
            self._unbind()
            self._residency.release()

    @property
    def _planner(self) -> Planner:
        return self._planners[self.phase.name]

    def _unbind(self) -> None:
        for planner in self._planners.values():
            planner.unbind()

    def _output(self, plan: StepPlan, skipped: bool, owed: int, flushing: bool) -> tuple[Output, int]:
        """What the step hands over, and how many frames it made; raises before anything is committed."""
        if skipped:
            assert plan.skip is not None
            operand, drop = plan.skip.frame, 0
        elif plan.emit is not None:
            operand, drop = plan.emit, self.to_drop
        else:
            return Output(None), 0
        tensor = operand.now()
        made = tensor.shape[0]
        drop = min(drop, made)
        count = made - drop
        if count > owed:
            if not flushing:
                raise StreamError(
                    "V2V-E3023",
                    f"the step failed: phase {self.phase.name!r} hands over {count} frames",
                    f"at most {owed}: no more wait for their output",
                    "the program emits more frames than it takes; build the bundle again",
                )
            count = owed
        if count == 0:
            return Output(None, made, skipped), made
        part = tensor if count == made else tensor.view(drop, count)
        return Output(part, made - count, skipped), made

    def _commit(self, plan: StepPlan, progress: Progress) -> list[tuple[Tensor, Tensor]]:
        """Commits what ran; returns the copies that must wait for the late calls."""
        whole = len(progress.done) == len(plan.main)
        commit = plan.commit_main if whole else Commit.union(c.commit for c in progress.done)
        deferred = self._apply(commit, defer=not progress.skipped)
        if self.pending:
            for call in progress.done:
                self.pending &= ~(1 << call.position)
        frames = self.state.inputs[self.phase.name]
        frames.index ^= 1
        return deferred

    def _apply(self, commit: Commit, defer: bool) -> list[tuple[Tensor, Tensor]]:
        deferred = []
        for copy in commit.copies:
            if copy.deferred and defer:
                deferred.append((copy.target.now(), copy.source.now()))
            else:
                self.copy(copy.target.now(), copy.source.now())
        for slot in commit.swaps:
            slot.index ^= 1
        for ring in commit.rings:
            ring.advance()
        return deferred

    def _run_late(self, late: LateCalls) -> None:
        """On the worker's thread, or on the caller's when inline."""
        try:
            self._runner.run(late.plan.late, late.progress, late.keys)
            indexes = [f.index for c in late.progress.done for f in c.flags]
            self._runner.check(self._planner.late_flags, indexes, late.progress)
        except BaseException as error:  # noqa: BLE001 - handed to the stream's thread, which raises it
            late.error = error

    def _finish_late(self, late: LateCalls) -> StreamError | None:
        """Commits what the late calls wrote, or says why not."""
        for target, source in late.copies:
            self.copy(target, source)
        error = late.failure()
        if error is None:
            self._apply(Commit.union(c.commit for c in late.progress.done), defer=False)
        else:
            self.counters.failed += 1
        if self._trace is not None and late.keys:
            self._trace(late.event())
        return error

    def _settle_quietly(self) -> None:
        """Ends late calls that run, as ``settle`` does; that one failed is a warning: no call can fail."""
        late = self._late
        if late is None or not late.started:
            return
        self._wait_for_late()
        self._late = None
        error = self._finish_late(late)
        if error is not None:
            _LOG.warning("%s", error)

    def _wait_for_late(self) -> None:
        """Until late calls that run have ended; what came of them is still to be settled."""
        late = self._late
        if late is not None and late.started and late.keys and not self._inline:
            self._worker.wait()

"""Runs the calls of one step, or of its late part: buckets, copies beforehand, skip, checks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from v2v_runtime.backends.base import Run, Scalars, Tensor
from v2v_runtime.counters import Counters
from v2v_runtime.errors import StreamError
from v2v_runtime.plan import Pinned, SkipPlan, StepCall


@dataclass(slots=True)
class CallTime:
    """What one call has taken so far, on the host's clock."""

    runs: int = 0
    total_ns: int = 0
    last_ns: int = 0


@dataclass(slots=True)
class Progress:
    """What of a list of calls has run.

    Attributes:
        phase: for messages.
        done: the calls that ran to their end.
        ran: what the trace says of calls that were begun: name and bucket.
        left_out: calls left out by ``at_zero: skip``.
        counts: row counts already read in this step.
        skipped: the program's skip cut the step short.
    """

    phase: str

    done: list[StepCall] = field(default_factory=list)
    ran: list[tuple[str, int | None]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    skipped: bool = False


class Runner:
    """Runs calls for one stream.

    Attributes:
        times: ``phase/call`` -> its times; None unless asked for.
    """

    def __init__(self, counters: Counters, timing: bool) -> None:
        self._counters = counters
        self.times: dict[str, CallTime] | None = {} if timing else None

    def run(
        self,
        calls: Sequence[StepCall],
        progress: Progress,
        pinned: Sequence[Pinned] | None = None,
        skip: SkipPlan | None = None,
    ) -> None:
        """Runs calls in order.

        Args:
            progress: is brought up to date as they run.
            pinned: which buffers each call uses; None: those of this moment.
            skip: honoured where given.

        Raises:
            StreamError: a graph failed (V2V-E3021), or is to run on a number of rows that it has not (E3022).
        """
        for index, call in enumerate(calls):
            plan = call.plan
            bucket = 0
            if plan.rows is not None:
                bucket = self._bucket(call, progress)
                if bucket < 0:
                    progress.left_out.append(plan.name)
                    continue
            progress.ran.append((plan.name, bucket or None))
            if pinned is not None:
                key, copies = pinned[index]
                for target, source in copies:
                    self.copy(target, source)
            else:
                key = plan.key()
                for copy in call.prepare:
                    self.copy(copy.target.now(), copy.source.now())
            try:
                run = plan.run(key, bucket)
                if self.times is None:
                    run()
                else:
                    self._timed(f"{progress.phase}/{plan.name}", run)
            except Exception as error:
                raise StreamError(
                    "V2V-E3021",
                    f"the step failed: call {plan.name!r} of phase {progress.phase!r}: {error}",
                    "",
                    "the state is as before; the next frame starts a new step",
                ) from error
            self._counters.calls += 1
            for copy in call.finish:
                self.copy(copy.target.now(), copy.source.now())
            progress.done.append(call)
            if skip is not None and index == skip.after:
                self._counters.host_syncs += 1
                if bool(skip.flag.read()[0]):
                    progress.skipped = True
                    return

    def check(self, flags: Scalars | None, indexes: Sequence[int], progress: Progress) -> None:
        """Reads the flags that the calls filled, in one transfer.

        Raises:
            StreamError: one is false (V2V-E3020).
        """
        if not indexes:
            return
        assert flags is not None
        self._counters.host_syncs += 1
        values = flags.read()
        if all(values[i] for i in indexes):
            return
        bad = [f"{c.plan.name}.{f.port}" for c in progress.done for f in c.flags if not values[f.index]]
        raise StreamError(
            "V2V-E3020",
            f"the step failed: {', '.join(bad)} of phase {progress.phase!r} says that a result is not finite",
            "finite numbers",
            "the state is as before; look at the frame, the params and the precision",
        )

    def copy(self, target: Tensor, source: Tensor) -> None:
        """A device copy, counted."""
        target.copy_from(source)
        self._counters.copies += 1
        self._counters.copied_bytes += source.nbytes

    def _timed(self, name: str, run: Run) -> None:
        assert self.times is not None
        start = time.perf_counter_ns()
        run()
        taken = time.perf_counter_ns() - start
        entry = self.times.setdefault(name, CallTime())
        entry.runs += 1
        entry.total_ns += taken
        entry.last_ns = taken

    def _bucket(self, call: StepCall, progress: Progress) -> int:
        """The bucket to run a call on, or -1 to leave it out."""
        rows = call.plan.rows
        assert rows is not None
        count = progress.counts.get(rows.name)
        if count is None:
            self._counters.host_syncs += 1
            count = progress.counts[rows.name] = int(rows.count.read()[0])
        if count == 0 and rows.skip_at_zero:
            return -1
        if 0 <= count <= rows.buckets[-1]:
            return next(bucket for bucket in rows.buckets if bucket >= count)
        raise StreamError(
            "V2V-E3022",
            f"the step failed: call {call.plan.name!r} of phase {progress.phase!r} got {count} rows",
            f"0 to {rows.buckets[-1]}",
            "the graph that counts the rows is wrong; the state is as before",
        )

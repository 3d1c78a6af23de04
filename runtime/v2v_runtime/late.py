"""A step's late calls: what is to be run and committed after its frame was handed over, and their thread."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from v2v_runtime.backends.base import Tensor
from v2v_runtime.errors import StreamError, V2VError
from v2v_runtime.plan import Pinned, StepPlan
from v2v_runtime.runner import Progress
from v2v_runtime.trace import LateEvent


@dataclass(slots=True)
class LateCalls:
    """The late part of a step that has committed.

    Attributes:
        plan: of the step.
        keys: its late calls with the cells that they read when the step began.
        phase, step: which step that was.
        progress: what ran of them.
        copies: (target, source) that wait until nothing late reads the target.
        started: they run, or have run.
        error: why they failed.
    """

    plan: StepPlan
    keys: list[Pinned]
    phase: str
    step: int
    progress: Progress
    copies: list[tuple[Tensor, Tensor]]
    started: bool = False
    error: BaseException | None = None

    def failure(self) -> StreamError | None:
        """V2V-E3024, if they failed."""
        if self.error is None:
            return None
        failure = StreamError(
            "V2V-E3024",
            f"the late calls of phase {self.phase!r}, step {self.step}, failed: {self.error}",
            "",
            "what they would have written is as before; call again, the stream goes on",
        )
        failure.__cause__ = self.error
        return failure

    def event(self) -> LateEvent:
        """What a trace keeps of them, once they have ended."""
        code = self.error.code if isinstance(self.error, V2VError) else type(self.error).__name__
        ran, left_out = tuple(self.progress.ran), tuple(self.progress.left_out)
        return LateEvent(self.phase, self.step, ran, left_out, None if self.error is None else code)


class LateWorker:
    """Runs one job at a time on a thread that is made for the first job and ends with ``close``.

    Engines release the interpreter's lock while they run, so the caller's thread goes on meanwhile.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._done = threading.Event()
        self._done.set()
        self._thread: threading.Thread | None = None
        # A stream that is dropped without close() must not leave its thread waiting for ever.
        self._finalizer = weakref.finalize(self, self._jobs.put, None)

    def start(self, job: Callable[[], None]) -> None:
        """Runs ``job``, which must not raise, on the worker's thread.

        Raises:
            RuntimeError: the system gives no more threads; the next job asks for one again.
        """
        if self._thread is None:
            thread = threading.Thread(
                target=_work, args=(self._jobs, self._done), name="v2v-late", daemon=True
            )
            thread.start()
            self._thread = thread
        self._done.clear()
        self._jobs.put(job)

    def wait(self) -> None:
        """Returns when the job has ended; at once where none was started."""
        self._done.wait()

    def close(self) -> None:
        """Ends the thread, if there is one. The last job has been waited for."""
        self._finalizer()
        if self._thread is not None:
            self._thread.join()
            self._thread = None


def _work(jobs: SimpleQueue[Callable[[], None] | None], done: threading.Event) -> None:
    while (job := jobs.get()) is not None:
        try:
            job()
        finally:
            done.set()
            del job

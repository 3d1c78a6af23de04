"""The one thread on which a stream's late calls run."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue


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

"""TensorRT's progress, told as it comes, and the way to stop a build from within."""

from __future__ import annotations

from typing import Any

from v2v_export.targets.base import Report


class Watch:
    """Passes progress on and remembers why it could not.

    Attributes:
        failure: what ``report`` raised; the build is stopped and this is to be raised again.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._steps: dict[str, int] = {}
        self.failure: BaseException | None = None

    def start(self, phase: str, steps: int) -> None:
        self._steps[phase] = steps
        self._tell(phase, 0)

    def step(self, phase: str, step: int) -> bool:
        """False: stop the build."""
        self._tell(phase, step + 1)
        return self.failure is None

    def finish(self, phase: str) -> None:
        self._steps.pop(phase, None)

    def _tell(self, phase: str, done: int) -> None:
        # An exception cannot cross TensorRT's own frames: it is kept, and the build asked to end.
        if self.failure is None:
            try:
                self._report(phase, done, self._steps.get(phase))
            except BaseException as failure:  # noqa: BLE001 - raised again when the build has ended
                self.failure = failure


def monitor(trt: Any, watch: Watch) -> Any | None:
    """A progress monitor of the module ``trt``; None where it has none."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # a class of an untyped module
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            watch.start(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return watch.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            watch.finish(phase_name)

    return Monitor()

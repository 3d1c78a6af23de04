"""Exact counters of what a stream did. They need no clock and no GPU, so tests can hold them to a number."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields


@dataclass(slots=True)
class Counters:
    """Counts since the stream was made; ``a - b`` gives what happened between two of them.

    They count what the program asks for, alike on every device: on a CPU an upload is a plain copy, and it
    is counted all the same.

    Attributes:
        frames_in: frames accepted (repeats made by ``flush`` included).
        frames_out: frames handed over.
        dropped: frames made but not handed over (``drop_first``, and those past what a flush owes).
        steps: steps that ran to their end.
        skipped: steps cut short by the program's ``skip``.
        failed: steps, or late parts of steps, that failed.
        calls: graph runs, late ones included.
        host_syncs: times the host waited for values that it decides by: checks (one for the step's calls, one
            for its late calls), skip flags, row counts.
        copies, copied_bytes: device copies that the program makes: staged ring entries and views, repeats of
            a frame, derived slots that are written in part.
        uploads, uploaded_bytes: host to device: frames, params, and the step's counters.
        downloads, downloaded_bytes: device to host: frames handed over.
        allocations: tensors made. Constant after the stream has been made.
        bindings: sets of tensors bound to a graph. Constant once each set has been met.
    """

    frames_in: int = 0
    frames_out: int = 0
    dropped: int = 0
    steps: int = 0
    skipped: int = 0
    failed: int = 0
    calls: int = 0
    host_syncs: int = 0
    copies: int = 0
    copied_bytes: int = 0
    uploads: int = 0
    uploaded_bytes: int = 0
    downloads: int = 0
    downloaded_bytes: int = 0
    allocations: int = 0
    bindings: int = 0

    def copy(self) -> Counters:
        return Counters(**asdict(self))

    def __sub__(self, earlier: Counters) -> Counters:
        return Counters(**{f.name: getattr(self, f.name) - getattr(earlier, f.name) for f in fields(self)})

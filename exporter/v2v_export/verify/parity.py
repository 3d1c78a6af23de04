"""Parity of one target: what PyTorch computes is recorded here, and judged in a process without torch."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from v2v_runtime.bundle import Bundle

from v2v_export.clip import clip_of
from v2v_export.store import refused_writes
from v2v_export.system import GraphOptions
from v2v_export.targets.spawn import run_child
from v2v_export.verify.budget import Budget
from v2v_export.verify.compare import Tolerance
from v2v_export.verify.judge import JudgeTask
from v2v_export.verify.record import Recorded, record
from v2v_export.verify.report import Report, missed
from v2v_export.verify.schedule import MOST_FRAMES, frames_to_cross

if TYPE_CHECKING:
    from v2v_export.recipe import VerifyOptions
    from v2v_export.system import Model

FULL_FRAMES = 32
"""``verify --full`` plays at least this many frames, teacher-forced and free-running."""

Judging = Callable[[JudgeTask, Callable[[str], None]], Report]


@dataclass(frozen=True)
class ParityJob:
    """What to verify.

    Attributes:
        bundle: the bundle's folder.
        target: the target's name in it.
        model: gives the model that the bundle was built from.
        options: the variant that the target plays.
        verify: tolerances, frames and budget.
        full: at least ``FULL_FRAMES`` frames both ways, however long it takes.
        progress: told what is being done.
        release: frees what ``model`` holds, before anything is played.
        scratch: a folder whose recordings serve all targets of one model; None: one for this target alone.
        trust: hashes of engines, or of targets, from elsewhere that may be loaded (``v2v_runtime.trust``).
    """

    bundle: Path
    target: str
    model: Callable[[], Model]
    options: GraphOptions
    verify: VerifyOptions
    full: bool = False
    progress: Callable[[str], None] = lambda text: None
    release: Callable[[], None] = lambda: None
    scratch: Path | None = None
    trust: tuple[str, ...] = ()

    @property
    def tolerance(self) -> Tolerance:
        verify = self.verify
        if self.options.float == "float16":
            return Tolerance(verify.tolerance_float16, verify.levels_float16, "float16")
        return Tolerance(verify.tolerance_float32, verify.levels_float32, "float32")

    @property
    def free_frames(self) -> int:
        """Frames to play free-running."""
        return max(self.verify.frames, FULL_FRAMES if self.full else 0)

    @property
    def seconds(self) -> float | None:
        """The budget; None: as many as it takes."""
        return None if self.full else self.verify.budget_seconds


def judge_in_child(task: JudgeTask, progress: Callable[[str], None]) -> Report:
    """``judge`` in a process of its own, whose memory ends with it."""
    found = run_child(
        "v2v_export.verify.child",
        task.to_json(),
        lambda phase, done, total: progress(phase),
        what=f"the verification of {task.target}",
    )
    return Report.unpacked(found["report"])


def verify_target(job: ParityJob, judging: Judging | None = None) -> Report:
    """Verifies one target; the report holds the first miss, after which nothing more is looked at."""
    with _folder(job.scratch) as shared, _folder(None) as own:
        bundle = Bundle.open(job.bundle, verify="sizes")
        program = bundle.manifest.program
        forced, left = _forced_frames(job, frames_to_cross(program))
        clip = clip_of(program, max(forced, job.free_frames))
        recorded = record(job, bundle, shared, clip, forced)
        job.release()
        task = JudgeTask(
            bundle=str(job.bundle),
            target=job.target,
            modules=str(recorded.modules),
            reference="" if recorded.reference is None else str(recorded.reference),
            scratch=str(own),
            graphs=recorded.graphs,
            macs=recorded.macs,
            weights=recorded.weights,
            tolerance=job.tolerance,
            frames=job.free_frames,
            forced=forced,
            full=job.full,
            seconds=job.seconds,
            left=(*left, *recorded.left),
            trust=job.trust,
        )
        report = (judging or judge_in_child)(task, job.progress)
        _explain(job, report, recorded)
        return report


def _explain(job: ParityJob, report: Report, recorded: Recorded) -> None:
    """Asks of a graph that missed whether rounding alone takes its module as far."""
    found = [(check, item) for check in report.graphs if (item := missed(check)) is not None]
    if report.miss is None or report.miss.level != "graph" or not report.miss.reference_finite:
        return
    from v2v_export.verify.conditioning import own_rounding

    check, item = found[0]
    spec = next(one for one in job.model().graphs(job.options) if one.name == check.graph)
    weights, macs = (of.get(check.graph, 0) for of in (recorded.weights, recorded.macs))
    if Budget(job.seconds).refuse(macs, 4 * weights):
        return
    job.progress(f"rounding of module {check.graph}")
    own = own_rounding(recorded.modules, spec, job.options, check.inputs, item, job.tolerance)
    report.miss = dataclasses.replace(report.miss, own=own)


def _forced_frames(job: ParityJob, needed: int) -> tuple[int, list[str]]:
    """Teacher-forced frames, and what they leave out."""
    if job.full:
        return max(needed, FULL_FRAMES), []
    if needed <= MOST_FRAMES:
        return needed, []
    return MOST_FRAMES, [
        f"the schedule past frame {MOST_FRAMES}: all of it takes {needed} frames; "
        "`v2v-export verify --full` plays them"
    ]


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    temporary = tempfile.TemporaryDirectory(prefix="v2v-verify-")
    with temporary as name, refused_writes(Path(name), "verify", "TMPDIR"):
        yield Path(name)

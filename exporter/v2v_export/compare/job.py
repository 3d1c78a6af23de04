"""``compare``: rounds until there is a verdict, each one kept on disk as soon as it has ended."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.atomic import write_file
from v2v_runtime.bundle import Bundle

from v2v_export.bench.machine import this_machine
from v2v_export.compare.quality import Apart, Quality, measure_apart, measure_quality
from v2v_export.compare.report import CompareReport
from v2v_export.compare.rounds import BASE, HEAD, Pace, Round, play_round
from v2v_export.compare.side import Hello, Worker
from v2v_export.compare.verdict import Limits, Verdict, disturbed, judge, least_rounds
from v2v_export.errors import BuildError, RecipeError
from v2v_export.progress import Progress

ROUNDS = 16
"""Rounds of a comparison, before any are added.

At 99 % an interval of 16 leaves out 19 of the Walsh averages at each end, and a single wild round makes 16 of
them: it moves nothing. Of 12 it would set the interval's end.
"""

DEADLINE_FRAMES = 50
"""Frames of a side in a round, where late ones are compared: a rise of two points from none is then found in
nine comparisons of ten."""

Command = Callable[[Path | None], Sequence[str]]
"""From the file with the clip, or None, to the words that start a worker."""


@dataclass(frozen=True)
class CompareJob:
    """What to compare.

    Attributes:
        base, head: make the workers' commands.
        bundles: the two bundles, to judge their pictures too; None: latency alone.
        pictures_may_differ: the head's pictures are meant to be others than the base's: how far they are
            apart is told and not judged.
        rounds: at least; those in which other processes worked are played again once, and as many again are
            added once if the verdict is INCONCLUSIVE.
        most_seconds: of the whole comparison: fewer rounds are played, first or added, where they would take
            longer, once enough for a verdict were not disturbed.
        seed: of the coin that says who begins.
        deadline: milliseconds a frame may take; None: late frames are not compared. With one, rounds of slow
            frames are longer (``DEADLINE_FRAMES``).
        clip: frames to play, uint8 [N, H, W, 3]; None: each bundle's own self-test frames.
        counters: the head's exact counters that are not as budgeted, in words; None: not looked at.
        out: takes the report as JSON after every round; None: nothing is written.
    """

    base: Command
    head: Command
    bundles: tuple[Path, Path] | None = None
    pictures_may_differ: bool = False
    rounds: int = ROUNDS
    most_seconds: float | None = None
    seed: int = 0
    pace: Pace = field(default_factory=Pace)
    limits: Limits = field(default_factory=Limits)
    deadline: float | None = None
    clip: NDArray[np.uint8] | None = None
    counters: tuple[str, ...] | None = None
    out: Path | None = None


def run_compare(job: CompareJob, progress: Progress) -> CompareReport:
    """Plays the rounds and judges them. Ctrl-C after a first round keeps the rounds in ``job.out``, marked.

    Raises:
        RecipeError: too few rounds for a verdict of that confidence (V2V-E8205).
        BuildError: a worker cannot be started or fails (V2V-E8201 to V2V-E8204), or the two sides cannot be
            compared (V2V-E8206).
    """
    needed = least_rounds(job.limits.confidence)
    if job.rounds < needed:
        raise RecipeError(
            "V2V-E8205",
            f"{job.rounds} rounds at a confidence of {job.limits.confidence:.1%}",
            f"at least {needed}",
            "play more rounds",
        )
    if job.out is not None:
        job.out.unlink(missing_ok=True)  # an earlier run's must not pass for this one's
    with tempfile.TemporaryDirectory(prefix="v2v-compare-") as folder:
        clip = _clip_file(job, Path(folder))
        return _Comparison(job, progress, clip, Path(folder)).run()


class _Comparison:
    def __init__(self, job: CompareJob, progress: Progress, clip: Path | None, folder: Path) -> None:
        self.job, self.progress, self.folder = job, progress, folder
        self.quality: tuple[Quality, Quality] | None = None
        self.apart: Apart | None = None
        self.commands = tuple(job.base(clip)), tuple(job.head(clip))
        self.machine = this_machine()
        self.coin = Random(job.seed)
        frames = 0 if job.deadline is None else max(DEADLINE_FRAMES, job.pace.least_frames)
        self.pace = replace(job.pace, least_frames=frames)
        self.begin = time.perf_counter()
        self.last = 0.0
        self.rounds: list[Round] = []

    def run(self) -> CompareReport:
        self._play(self.job.rounds)
        self._play_again()
        self._judge_pictures()
        report = self._report(complete=True)
        if report.verdict is Verdict.INCONCLUSIVE and (more := self._room(self.job.rounds)):
            self.progress.note(f"INCONCLUSIVE after {len(self.rounds)} rounds: {more} more")
            self._play(more)
            report = self._report(complete=True, extended=True)
        self._keep(report)
        return report

    def _play_again(self) -> None:
        """Makes up for rounds in which other processes worked; not for most of them, which is NOISY.

        As many as a verdict lacks are played whatever time they take: a disturbed round or two do not say
        that the machine is unfit.
        """
        again = self._disturbed
        more = max(self._room(again), min(again, self._lacking))
        if 2 * again <= len(self.rounds) and more:
            self.progress.note(f"other processes worked in {again} rounds: {more} more")
            self._play(more)

    @property
    def _disturbed(self) -> int:
        """Rounds so far in which other processes worked."""
        return sum(disturbed(item, self.job.limits) for item in self.rounds)

    @property
    def _lacking(self) -> int:
        """Undisturbed rounds that a verdict still lacks."""
        return max(0, least_rounds(self.job.limits.confidence) - len(self.rounds) + self._disturbed)

    def _may_end(self) -> bool:
        """Whether more rounds would be for certainty alone: there are enough, or most were disturbed."""
        enough = len(self.rounds) >= least_rounds(self.job.limits.confidence)
        return enough and (not self._lacking or 2 * self._disturbed > len(self.rounds))

    def _room(self, rounds: int) -> int:
        """As many rounds, or as there is time for: time says nothing of either side."""
        if self.job.most_seconds is None:
            return rounds
        spent = time.perf_counter() - self.begin
        room = (self.job.most_seconds - spent) / (spent / len(self.rounds))
        return max(0, min(rounds, int(room)))

    def _late(self) -> bool:
        """Whether another round as long as the last one, or as most, would end too late."""
        if self.job.most_seconds is None:
            return False
        spent = time.perf_counter() - self.begin
        return spent + max(self.last, spent / len(self.rounds)) > self.job.most_seconds

    def _play(self, count: int) -> None:
        """Plays rounds; those that a verdict can do without only while there is time."""
        total = len(self.rounds) + count
        begin = time.perf_counter()
        self.progress.start("rounds", total)
        try:
            for done in range(count):
                if self._may_end() and self._late():
                    self.progress.note(f"no time for more than {done} of {count} rounds")
                    break
                self.progress.step("playing", len(self.rounds), total)
                started = time.perf_counter()
                self.rounds.append(play_round(*self.commands, self.coin, self.pace, check_pair))
                self.last = time.perf_counter() - started
                self._keep(self._report(complete=False))
        except BaseException:
            self.progress.finish("stopped", time.perf_counter() - begin)
            raise
        self.progress.finish("done", time.perf_counter() - begin)

    def _judge_pictures(self) -> None:
        """Both sides' pictures, after the rounds: it takes processor time that no round should meet."""
        if self.job.bundles is None:
            return
        begin = time.perf_counter()
        self.progress.start("pictures")
        base, head = (Bundle.open(path, verify="sizes") for path in self.job.bundles)
        with Worker(BASE, self.commands[0]) as first, Worker(HEAD, self.commands[1]) as second:
            first.hello()
            second.hello()
            self.quality = (
                measure_quality(first, base, self.folder),
                measure_quality(second, head, self.folder),
            )
            self.apart = measure_apart(
                (first, second),
                (base, head),
                self.job.clip,
                self.folder,
                meant=self.job.pictures_may_differ,
            )
        self.progress.finish("done", time.perf_counter() - begin)

    def _report(self, *, complete: bool, extended: bool = False) -> CompareReport:
        enough = len(self.rounds) >= least_rounds(self.job.limits.confidence)
        return CompareReport(
            complete=complete,
            extended=extended,
            base=self.rounds[0].base.hello,
            head=self.rounds[0].head.hello,
            machine=self.machine,
            limits=self.job.limits,
            deadline=self.job.deadline,
            seed=self.job.seed,
            seconds=time.perf_counter() - self.begin,
            rounds=tuple(self.rounds),
            quality=self.quality,
            apart=self.apart,
            counters=self.job.counters,
            judgement=judge(self.rounds, self.job.limits, self.job.deadline) if enough else None,
        )

    def _keep(self, report: CompareReport) -> None:
        if self.job.out is not None:
            text = json.dumps(report.as_dict(), indent=1, allow_nan=False)
            write_file(self.job.out, text.encode())


def check_pair(base: Hello, head: Hello) -> None:
    """Refuses two sides that do different work.

    Raises:
        BuildError: another system, or frames or pictures of another size (V2V-E8206).
    """
    differences = [
        f"{what}: {one} and {other}"
        for what, one, other in (
            ("system", base.system, head.system),
            ("frames", f"{base.width} x {base.height}", f"{head.width} x {head.height}"),
            (
                "pictures",
                f"{base.output_width} x {base.output_height}",
                f"{head.output_width} x {head.output_height}",
            ),
        )
        if one != other
    ]
    if differences:
        raise BuildError(
            "V2V-E8206",
            f"base and head differ in {'; '.join(differences)}",
            "two bundles of one system and one frame size",
            "compare what does the same work; `v2v-export bench` measures a bundle by itself",
        )


def _clip_file(job: CompareJob, folder: Path) -> Path | None:
    if job.clip is None:
        return None
    path = folder / "clip.npy"
    np.save(path, job.clip, allow_pickle=False)
    return path

"""The operating points of ``v2v-export compare``: how often it fails equal sides, and how often a slower one.

A real bundle, Shortcut-V2V at a size whose frames take 3 to 5 ms here, is compared with itself: 40 times as
it is, and 40 times with a head whose frames are made 5 % slower (``_points/slowed_worker.py``). At most 40 s
a comparison, about 50 minutes in all, on a machine that is otherwise idle. Comparisons that have ended are
kept in the record; the same command again goes on where it was.

    python benchmarks/operating_points.py [--count 40] [--slower 5] [--json FILE] [--work FOLDER] [--find]

``--find`` seeks the smallest slowdown, in steps of half a percent, of which 34 in 40 comparisons FAIL.

Exit status: 0 at most 1 in 40 comparisons of equal sides FAIL, 34 in 40 slower ones do and none is IMPROVED,
and each took 40 s at most; 3 that does not hold, or there are fewer comparisons; 1 an error, 2 usage.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from _points.bundle import Subject, make_subject
from _points.record import FULL, MOST_SECONDS, Outcome, Points, catches, hopeless, misses, rules, summary
from _points.slowed_worker import command
from rich.console import Console
from rich.table import Table
from v2v_export.compare import CompareJob, run_compare
from v2v_export.compare.job import ROUNDS
from v2v_export.compare.rounds import Pace
from v2v_export.errors import V2VError
from v2v_export.progress import RichProgress, SilentProgress
from v2v_export.system import FrameSize

RECORD = Path(__file__).parents[1] / "docs" / "measurements" / "operating-points.json"
WANTED_MS = (3.0, 5.0)
STEP, LOWEST, HIGHEST = 0.005, 0.035, 0.2
"""Of the search: slowdowns below the 3 % that fail cannot be found often."""

Compare = Callable[[float, int], Outcome]
"""From a slowdown and a seed to what one comparison found."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is not yet in the record, and returns the exit status."""
    options = _parser().parse_args(argv)
    log = Console(stderr=True, highlight=False)
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="v2v-points-") as temporary,
            RichProgress(log) as progress,
        ):
            folder = options.work or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            known = Points.read(options.json) if options.json.exists() else None
            subject = make_subject(folder, progress, WANTED_MS, _size(known))
            points = _points(known, options, subject)
            run = Run(points, options.json, options.count, _comparer(subject, options), out)
            run.at(0.0)
            run.at(options.slower / 100)
            smallest = run.find(options.slower / 100) if options.find else None
    except (V2VError, ValueError, RuntimeError) as error:
        log.print(str(error), markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        log.print("stopped; the comparisons that have ended are kept")
        return 130
    out.print(table(points))
    if options.find:
        out.print("no slowdown was found often" if smallest is None else f"smallest found: {smallest:+.1%}")
    told = misses(points, options.slower / 100)
    for line in told:
        out.print(line, style="red", markup=False)
    return 3 if told else 0


class Run:
    """Fills a record.

    Args:
        path: takes the record after each comparison.
        count: comparisons at each slowdown.
    """

    def __init__(self, points: Points, path: Path, count: int, compare: Compare, out: Console) -> None:
        self.points, self.path, self.count = points, path, count
        self._compare, self._out = compare, out

    def at(self, slower: float, *, give_up: bool = False) -> list[Outcome]:
        """The comparisons at one slowdown: those that are missing are played.

        Args:
            give_up: stop when there cannot be fails enough any more.
        """
        while len(done := self.points.at(slower)) < self.count:
            if give_up and hopeless(done, self.count):
                break
            found = self._compare(slower, len(done))
            self.points.outcomes.append(found)
            self.points.write(self.path)
            self._out.print(
                f"{slower:+.1%} #{len(done) + 1}: {found.verdict} {found.estimate:+.2%} "
                f"({found.low:+.2%} to {found.high:+.2%}), {found.rounds} rounds, {found.seconds:.1f} s, "
                f"{found.warm_frames:.0f} frames a warm-up, {found.unsettled} of them unsettled"
            )
        return done

    def find(self, start: float) -> float | None:
        """The smallest slowdown that is found often enough; None if not even the largest is."""

        def found(slower: float) -> bool:
            done = self.at(slower, give_up=True)
            return len(done) >= self.count and catches(done)

        slower = start
        if found(slower):
            while slower - STEP >= LOWEST - 1e-9 and found(round(slower - STEP, 6)):
                slower = round(slower - STEP, 6)
            return slower
        while slower + STEP <= HIGHEST + 1e-9:
            slower = round(slower + STEP, 6)
            if found(slower):
                return slower
        return None


def table(points: Points) -> Table:
    """Verdicts at each slowdown; NOISY and INCONCLUSIVE stand apart."""
    rows = Table(box=None, header_style="dim")
    names = ("FAIL", "PASS", "IMPROVED", "INCONCLUSIVE", "NOISY", "extended")
    for heading in ("slower", "comparisons", *names, "median s", "most s"):
        rows.add_column(heading, justify="right")
    for slower in points.slowdowns:
        told = summary(points.at(slower))
        rows.add_row(
            f"{slower:+.1%}",
            str(told["comparisons"]),
            *(str(told[name]) for name in names),
            f"{told['median_seconds']:.1f}",
            f"{told['most_seconds']:.1f}",
        )
    return rows


def _comparer(subject: Subject, options: argparse.Namespace) -> Compare:
    def compare(slower: float, seed: int) -> Outcome:
        job = CompareJob(
            base=lambda clip: command(0.0, subject.path, clip),
            head=lambda clip: command(slower, subject.path, clip),
            rounds=options.rounds,
            most_seconds=MOST_SECONDS,
            seed=seed,
            pace=Pace(cycles=options.cycles, turn_seconds=options.turn),
        )
        return Outcome.of(slower, run_compare(job, SilentProgress()))

    return compare


def _points(known: Points | None, options: argparse.Namespace, subject: Subject) -> Points:
    """The record to go on with.

    Raises:
        ValueError: there is one of another machine, bundle, pace or rules.
    """
    case = {
        "system": "shortcut_v2v",
        "identity": subject.identity,
        "height": subject.size.height,
        "width": subject.size.width,
        "rounds": options.rounds,
        "cycles": options.cycles,
        "turn_seconds": options.turn,
        "rules": rules(),
    }
    fresh = Points.begin({**case, "frame_ms": subject.frame_ms})
    if known is None:
        return fresh
    before = {name: known.case.get(name) for name in case}
    if before != case or known.machine.get("fingerprint") != fresh.machine["fingerprint"]:
        raise ValueError(
            f"{options.json.name} is of another machine, bundle, pace or rules; "
            "name another file, or remove it"
        )
    return known


def _size(known: Points | None) -> FrameSize | None:
    return None if known is None else FrameSize(int(known.case["height"]), int(known.case["width"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=FULL, help="comparisons at each slowdown")
    parser.add_argument("--slower", type=float, default=5.0, metavar="PERCENT", help="the injected slowdown")
    parser.add_argument("--find", action="store_true", help="seek the smallest slowdown that is found often")
    parser.add_argument("--json", type=Path, default=RECORD, metavar="FILE", help="the record")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="keeps the bundle and its build's stages")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--cycles", type=int, default=Pace.cycles)
    parser.add_argument("--turn", type=float, default=Pace.turn_seconds, metavar="SECONDS")
    return parser


if __name__ == "__main__":
    sys.exit(main())

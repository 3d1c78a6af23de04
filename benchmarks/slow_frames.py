"""How long ``v2v-export compare`` takes for a bundle of about 30 ms a frame: it has to end within 5 minutes.

A real bundle, Shortcut-V2V at a size whose frames take 27 to 33 ms here, is compared with itself as the
command does it, pictures included: with the limits that are the default; with limits of zero, which equal
sides can hardly meet, so that as many rounds again are played; and with those and a deadline, which makes
rounds longer. Comparisons that have ended are kept in the record; the same command again goes on where it
was.

    python benchmarks/slow_frames.py [--count 3] [--json FILE] [--work FOLDER]

Exit status: 0 each comparison ended in time and one at least had rounds added; 3 not so; 1 an error, 2 usage.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from _points.bundle import Subject, make_subject
from _points.record import Outcome, Points, rules
from rich.console import Console
from v2v_export.compare import CompareJob, Limits, run_compare
from v2v_export.compare.side import worker_command
from v2v_export.errors import V2VError
from v2v_export.progress import RichProgress, SilentProgress
from v2v_export.system import FrameSize
from v2v_runtime.atomic import write_file

RECORD = Path(__file__).parents[1] / "docs" / "measurements" / "slow-frames.json"
SCHEMA = "v2v.slow-frames/1"
WANTED_MS = (27.0, 33.0)
MOST_SECONDS = 300.0
DEADLINE_MS = 40.0
# No load makes these NOISY: what is asked is how long the longest comparison takes.
ZERO = Limits(fail=0.0, least=0.0, noise=1e9, foreign=1e9)
KINDS: Mapping[str, tuple[Limits, float | None]] = {
    "default": (Limits(), None),
    "zero": (ZERO, None),
    "deadline": (ZERO, DEADLINE_MS),
}
COUNT = 3

Document = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Plays what is not yet in the record, and returns the exit status."""
    options = _parser().parse_args(argv)
    log = Console(stderr=True, highlight=False)
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    try:
        with tempfile.TemporaryDirectory(prefix="v2v-slow-") as temporary, RichProgress(log) as progress:
            folder = options.work or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            known = read(options.json) if options.json.exists() else None
            size = None if known is None else FrameSize(known["case"]["height"], known["case"]["width"])
            subject = make_subject(folder, progress, WANTED_MS, size)
            record = _record(known, subject, options.json.name)
            for kind, (limits, deadline) in KINDS.items():
                while len(done := _of(record, kind)) < options.count:
                    found = _compare(subject, limits, deadline, len(done))
                    record["comparisons"].append({"limits": kind, **asdict(found)})
                    _write(options.json, record)
                    told = f"{found.verdict}, {found.rounds} rounds, {found.seconds:.1f} s"
                    out.print(f"limits {kind} #{len(done) + 1}: {told}")
    except (V2VError, ValueError, RuntimeError) as error:
        log.print(str(error), markup=False, style="red")
        return 1
    except KeyboardInterrupt:
        log.print("stopped; the comparisons that have ended are kept")
        return 130
    told = misses(record)
    for line in told:
        out.print(line, style="red", markup=False)
    return 3 if told else 0


def misses(record: Document) -> list[str]:
    """What of the claims does not hold, in words; empty if all do."""
    told = []
    late = [one["seconds"] for one in record["comparisons"] if one["seconds"] > MOST_SECONDS]
    if late:
        longest = f"the longest {max(late):.1f} s"
        told.append(f"{len(late)} comparisons took more than {MOST_SECONDS:.0f} s, {longest}")
    if not any(one["extended"] for one in record["comparisons"]):
        told.append("no comparison had rounds added: the longest kind was not seen")
    return told


def read(path: Path) -> Document:
    """An earlier run's record; ValueError if it is none."""
    data = json.loads(path.read_text("utf-8"))
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"{path.name} is no record of slow frames ({SCHEMA})")
    return data


def _record(known: Document | None, subject: Subject, name: str) -> Document:
    """The record to go on with; ValueError if it is of another machine, bundle or rules."""
    case = {
        "system": "shortcut_v2v",
        "identity": subject.identity,
        "height": subject.size.height,
        "width": subject.size.width,
        "rules": rules(),
    }
    machine = Points.begin(case).machine
    if known is None:
        about = {**case, "frame_ms": subject.frame_ms}
        return {"schema": SCHEMA, "name": "slow-frames", "machine": machine, "case": about, "comparisons": []}
    same = known["machine"].get("fingerprint") == machine["fingerprint"]
    if not same or {key: known["case"].get(key) for key in case} != case:
        raise ValueError(f"{name} is of another machine, bundle or rules; name another file, or remove it")
    return known


def _compare(subject: Subject, limits: Limits, deadline: float | None, seed: int) -> Outcome:
    job = CompareJob(
        base=lambda clip: worker_command(subject.path, None, clip),
        head=lambda clip: worker_command(subject.path, None, clip),
        bundles=(subject.path, subject.path),
        seed=seed,
        limits=limits,
        deadline=deadline,
    )
    return Outcome.of(0.0, run_compare(job, SilentProgress()))


def _of(record: Document, kind: str) -> list[Document]:
    return [one for one in record["comparisons"] if one["limits"] == kind]


def _write(path: Path, record: Document) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=COUNT, help="comparisons with each set of limits")
    parser.add_argument("--json", type=Path, default=RECORD, metavar="FILE", help="the record")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="keeps the bundle and its build's stages")
    return parser


if __name__ == "__main__":
    sys.exit(main())

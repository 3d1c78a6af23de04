"""The comparisons that have ended, kept as JSON after each one, so that an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from v2v_export.bench.machine import this_machine
from v2v_export.compare import CompareReport
from v2v_runtime.atomic import write_file

SCHEMA = "v2v.operating-points/1"
FULL = 40
"""Comparisons at one slowdown; claims need as many."""

MOST_SECONDS = 40.0

RULES = (
    "v2v_runtime.settling",
    "v2v_runtime.bench_worker",
    "v2v_export.bench.cgroup",
    "v2v_export.bench.deadline",
    "v2v_export.bench.host",
    "v2v_export.bench.processes",
    "v2v_export.bench.statistics",
    "v2v_export.compare.job",
    "v2v_export.compare.late",
    "v2v_export.compare.rounds",
    "v2v_export.compare.verdict",
)
"""The modules whose rules make a verdict."""

CATCHES = 34 / FULL
"""Share of comparisons that a slowdown which counts as found makes FAIL."""

FALSE_ALARMS = 1 / FULL


def rules() -> str:
    """What tells one version of the rules from another: comparisons of two are no one record."""
    sources = [Path(str(import_module(name).__file__)).read_bytes() for name in RULES]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()[:16]


@dataclass(frozen=True)
class Outcome:
    """One comparison.

    Attributes:
        estimate, low, high: of the medians.
        turn: the estimate of whole turns, work after a picture included.
        warm_frames: frames of a warm-up, the median over sides and rounds.
        unsettled: warm-ups that did not settle, of two a round.
        told: what is to be known, and says nothing against the machine.
    """

    slower: float
    seed: int
    verdict: str
    estimate: float
    low: float
    high: float
    rounds: int
    extended: bool
    seconds: float
    foreign_cores: float | None
    noise: tuple[str, ...] = ()
    set_aside: int = 0
    turn: float = 0.0
    warm_frames: float = 0.0
    unsettled: int = 0
    told: tuple[str, ...] = ()

    @staticmethod
    def of(slower: float, report: CompareReport) -> Outcome:
        """From a comparison's report."""
        assert report.judgement is not None
        figures = {item.what: item for item in report.judgement.compared}
        median = figures["median"]
        sides = [side for item in report.rounds for side in (item.base, item.head)]
        foreign = sorted(item.host.foreign for item in report.rounds if item.host.foreign is not None)
        return Outcome(
            slower,
            report.seed,
            str(report.verdict),
            median.estimate,
            median.low,
            median.high,
            len(report.rounds),
            report.extended,
            report.seconds,
            foreign[len(foreign) // 2] if foreign else None,
            report.judgement.noise,
            report.judgement.set_aside,
            figures["turn"].estimate,
            statistics.median(side.warm_frames for side in sides),
            sum(not side.settled for side in sides),
            report.judgement.told,
        )


@dataclass
class Points:
    """All comparisons of one bundle on one machine.

    Attributes:
        case: the bundle and how it is played; comparisons of another case are not added to these.
    """

    machine: dict[str, Any]
    case: dict[str, Any]
    outcomes: list[Outcome] = field(default_factory=list)

    @classmethod
    def begin(cls, case: dict[str, Any]) -> Self:
        """Of this machine."""
        this = this_machine()
        told = {**asdict(this), "gpus": list(this.gpus), "fingerprint": this.fingerprint}
        # A kernel's release names its vendor's machine, and says nothing of speed.
        told["system"] = " ".join(str(told["system"]).split()[::2])
        return cls(told, case)

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file of ``write``; ValueError if it is none."""
        data = json.loads(path.read_text("utf-8"))
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ValueError(f"{path.name} is no record of operating points ({SCHEMA})")
        outcomes = [
            Outcome(**{**one, "noise": tuple(one["noise"]), "told": tuple(one.get("told", ()))})
            for one in data["comparisons"]
        ]
        return cls(data["machine"], data["case"], outcomes)

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        document = {
            "schema": SCHEMA,
            "name": "operating-points",
            "machine": self.machine,
            "case": self.case,
            "summary": [summary(self.at(slower)) for slower in self.slowdowns],
            "comparisons": [asdict(one) for one in self.outcomes],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())

    @property
    def slowdowns(self) -> list[float]:
        return sorted({one.slower for one in self.outcomes})

    def at(self, slower: float) -> list[Outcome]:
        return [one for one in self.outcomes if one.slower == slower]


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts of each verdict at one slowdown, and the times."""
    counts = Counter(one.verdict for one in outcomes)
    seconds = sorted(one.seconds for one in outcomes)
    return {
        "slower": outcomes[0].slower,
        "comparisons": len(outcomes),
        **{name: counts[name] for name in ("PASS", "FAIL", "IMPROVED", "INCONCLUSIVE", "NOISY")},
        "extended": sum(one.extended for one in outcomes),
        "median_seconds": seconds[len(seconds) // 2],
        "most_seconds": seconds[-1],
    }


def catches(outcomes: Sequence[Outcome]) -> bool:
    """Whether a slowdown is found often enough, and never taken for an improvement."""
    fails = sum(one.verdict == "FAIL" for one in outcomes)
    return fails >= math.ceil(CATCHES * len(outcomes)) and all(one.verdict != "IMPROVED" for one in outcomes)


def hopeless(outcomes: Sequence[Outcome], count: int) -> bool:
    """Whether so many have not failed that ``count`` comparisons can no longer make enough."""
    return sum(one.verdict != "FAIL" for one in outcomes) > count - math.ceil(CATCHES * count)


def misses(points: Points, slower: float) -> list[str]:
    """What of the claims does not hold, in words; empty if all do. Claims need ``FULL`` comparisons."""
    told = []
    for share in (0.0, slower):
        done = points.at(share)
        if len(done) < FULL:
            told.append(f"{len(done)} of {FULL} comparisons at {share:+.1%}")
            continue
        fails = sum(one.verdict == "FAIL" for one in done)
        if share == 0 and fails > FALSE_ALARMS * len(done):
            told.append(f"{fails} of {len(done)} comparisons of equal sides FAIL")
        if share > 0 and not catches(done):
            told.append(f"{fails} of {len(done)} FAIL at {share:+.1%}, or one is IMPROVED")
        if (most := max(one.seconds for one in done)) > MOST_SECONDS:
            told.append(f"a comparison at {share:+.1%} took {most:.1f} s")
    return told

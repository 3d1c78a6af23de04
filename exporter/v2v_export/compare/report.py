"""What a comparison found, as JSON and as words."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from v2v_runtime.atomic import write_file

from v2v_export.bench.machine import Machine
from v2v_export.compare.clip import Clip
from v2v_export.compare.quality import Apart, Quality, worse
from v2v_export.compare.rounds import Round, SideRound
from v2v_export.compare.side import Hello
from v2v_export.compare.verdict import Compared, Judgement, Limits, Verdict, disturbed

SCHEMA = "v2v.compare/1"

HEADINGS = ("round", "who begins", "base ms", "head ms", "head", "others' cores")
"""Of ``table``. A is the base and B the head: A stands for the turns A B B A, B for B A A B."""


@dataclass(frozen=True)
class CompareReport:
    """One comparison.

    Attributes:
        complete: False in what is kept while rounds are still to come, or after an interruption.
        extended: rounds were added because the first ones were inconclusive.
        seconds: of the whole comparison.
        judgement: None before there are rounds enough.
        quality: both sides' pictures; None where they were not looked at.
        apart: how far the head's pictures are from the base's own; None as ``quality``.
        counters: the head's exact counters that are not as budgeted, in words; None where they were
            not held to anything.
        clip: what both sides played; None where each played what it has by itself, and in what is kept while
            rounds are still to come.
    """

    complete: bool
    extended: bool
    base: Hello
    head: Hello
    machine: Machine
    limits: Limits
    deadline: float | None
    seed: int
    seconds: float
    rounds: tuple[Round, ...]
    judgement: Judgement | None
    quality: tuple[Quality, Quality] | None = None
    apart: Apart | None = None
    counters: tuple[str, ...] | None = None
    clip: Clip | None = None

    @property
    def losses(self) -> list[str]:
        """What the head's pictures have lost, in words."""
        told = [] if self.quality is None else worse(*self.quality)
        loss = None if self.apart is None else self.apart.loss
        return told if loss is None else [*told, loss]

    @property
    def unjudged(self) -> str | None:
        """Why what the pictures show has no judge; None if it has one."""
        if self.quality is None or any(one.levels is not None for one in self.quality):
            return None
        return "neither bundle has self-test frames: what the pictures show is not judged"

    @property
    def verdict(self) -> Verdict:
        """FAIL for worse pictures or other counters whatever the times say: noise makes neither."""
        if self.losses or self.counters:
            return Verdict.FAIL
        return Verdict.INCONCLUSIVE if self.judgement is None else self.judgement.verdict

    @property
    def passed(self) -> bool:
        """Whether there is nothing to hold against the head: only FAIL is a verdict against it."""
        return self.verdict is not Verdict.FAIL

    @property
    def sure(self) -> str:
        """The intervals' confidence in words."""
        return f"{100 * self.limits.confidence:g}%"

    def median_ms(self, side: str) -> float:
        """The median over rounds of a side's medians."""
        values = sorted(_side(item, side).median() for item in self.rounds)
        middle = len(values) // 2
        return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON: the verdict, the figures, and every round's own figures (not every frame's)."""
        judgement = None
        if self.judgement is not None:
            judgement = {
                **asdict(self.judgement),
                "compared": [asdict(item) for item in self.judgement.compared],
            }
        machine = asdict(self.machine)
        machine["fingerprint"] = self.machine.fingerprint
        return {
            "schema": SCHEMA,
            "complete": self.complete,
            "extended": self.extended,
            "verdict": str(self.verdict),
            "passed": self.passed if self.complete or not self.passed else None,
            "base": asdict(self.base),
            "head": asdict(self.head),
            "machine": machine,
            "limits": asdict(self.limits),
            "deadline_ms": self.deadline,
            "seed": self.seed,
            "clip": None if self.clip is None else self.clip.as_dict(),
            "seconds": self.seconds,
            "judgement": judgement,
            "quality": None
            if self.quality is None
            else {
                "base": asdict(self.quality[0]),
                "head": asdict(self.quality[1]),
                "head_against_base": None if self.apart is None else asdict(self.apart),
                "unjudged": self.unjudged,
                "losses": self.losses,
            },
            "counters": None if self.counters is None else list(self.counters),
            "rounds": [_round(item, self.limits, self.deadline) for item in self.rounds],
        }

    def write(self, path: Path) -> None:
        """Writes it as JSON.

        Raises:
            BundleError: it cannot be written (V2V-E1051).
        """
        write_file(path, json.dumps(self.as_dict(), indent=1, allow_nan=False).encode())

    def lines(self) -> list[str]:
        """The report for people, without any markup."""
        told = [f"{self.verdict}: {self._headline()}"]
        for item in self.judgement.compared if self.judgement is not None else ():
            estimate, low, high = in_words(item)
            told.append(
                f"  {item.what:9} {estimate} ({self.sure} between {low} and {high})"
                + ("" if item.decides else ", not judged")
            )
        if self.judgement is not None:
            told += [f"  noise: {reason}" for reason in self.judgement.noise]
            told += [f"  {what}" for what in self.judgement.told]
            base, head = self.judgement.own_differences
            told.append(f"  the base differs from itself by {base:.1%} at most, the head by {head:.1%}")
        if self.quality is not None:
            told += [f"  pictures: {loss}" for loss in self.losses] or [
                f"  pictures: {_pictures(*self.quality)}"
            ]
            if self.apart is not None and self.apart.loss is None:
                told.append(f"  pictures: {self.apart}")
            if self.unjudged is not None:
                told.append(f"  pictures: {self.unjudged}")
        told += [f"  counter: {change}" for change in self.counters or ()]
        if self.clip is not None:
            told.append(f"  both played {self.clip}")
        count = f"{len(self.rounds)} rounds"
        if self.judgement is not None and self.judgement.set_aside:
            count += f", {self.judgement.set_aside} of them set aside: other processes worked"
        count += ", extended once" if self.extended else ""
        told.append(f"  {count}, {self.seconds:.0f} s, seed {self.seed}, machine {self.machine.fingerprint}")
        if not self.complete:
            told.append("  not complete: stopped before its last round")
        return told

    def _headline(self) -> str:
        base, head = self.median_ms("base"), self.median_ms("head")
        told = f"head {self.head.name} {head:.2f} ms a frame, base {self.base.name} {base:.2f} ms"
        if self.head.target == self.base.target:
            return f"{told}, both on {self.head.target}"
        return f"{told}; head on {self.head.target}, base on {self.base.target}"


def in_words(item: Compared) -> tuple[str, str, str]:
    """Estimate, low and high: of times in percent of the base's, of shares of late frames in points."""
    unit = " points" if item.what == "miss rate" else "%"
    estimate, low, high = (f"{100 * value:+.1f}" for value in (item.estimate, item.low, item.high))
    return f"{estimate}{unit}", f"{low}{unit}", f"{high}{unit}"


def _pictures(base: Quality, head: Quality) -> str:
    """Both sides' figures in words."""

    def psnr(one: Quality) -> str:
        if one.levels is None:
            return "without one"
        return "equal to the reference's" if one.psnr is None else f"{one.psnr:.1f} dB"

    told = [] if head.levels is None else [f"self-test {psnr(head)}, base {psnr(base)}"]
    if base.warp_error is not None and head.warp_error is not None:
        told.append(f"warp error {head.warp_error:.2f} levels, base {base.warp_error:.2f}")
    return "; ".join(told) or "nothing to judge them by"


def _side(item: Round, side: str) -> SideRound:
    return item.base if side == "base" else item.head


def _round(item: Round, limits: Limits, deadline: float | None) -> dict[str, Any]:
    def side(one: SideRound) -> dict[str, Any]:
        told: dict[str, Any] = {
            "median_ms": one.median(),
            "p95_ms": one.p95,
            "turn_ms": one.turn_ms,
            "total_ms": one.total_ms,
            "frames": one.frames,
            "warm_frames": one.warm_frames,
            "settled": one.settled,
            "idle_cores": one.idle_cores,
            "turn_median_ms": [one.median((turn,)) for turn in one.turns],
        }
        if deadline is not None:
            told["late_frames"] = one.late(deadline).late
        return told

    return {
        "order": list(item.order),
        "base": side(item.base),
        "head": side(item.head),
        "foreign_cores": item.host.foreign,
        "disturbed": disturbed(item, limits),
        "throttled": list(item.host.throttled),
    }


def table(report: CompareReport) -> list[tuple[str, ...]]:
    """One row of words per round, under ``HEADINGS``; foreign load over its limit has a star."""
    rows: list[tuple[str, ...]] = []
    for index, item in enumerate(report.rounds, 1):
        foreign = "" if item.host.foreign is None else f"{item.host.foreign:.2f}"
        foreign += "*" if disturbed(item, report.limits) else ""
        base, head = item.base.median(), item.head.median()
        rows.append(
            (
                str(index),
                "".join(order[0] for order in item.order),
                f"{base:.2f}",
                f"{head:.2f}",
                f"{head / base - 1:+.1%}",
                foreign,
            )
        )
    return rows

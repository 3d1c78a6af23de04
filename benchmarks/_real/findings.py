"""What the parts find: numbers held to limits, tables for people, details for the record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Finding:
    """One number that is held to a limit.

    Attributes:
        what: in words.
        measured: infinite or NaN where there is no number to show for it: that is a miss.
        sense: which side of the limit is good.
        interval: what is known of the number, where it is an estimate.
        note: what else to say.
    """

    what: str
    measured: float
    limit: float
    sense: Literal["at most", "at least"] = "at most"
    unit: str = ""
    interval: tuple[float, float] | None = None
    note: str = ""

    @property
    def met(self) -> bool:
        if not math.isfinite(self.measured):
            return False
        return self.measured <= self.limit if self.sense == "at most" else self.measured >= self.limit

    @property
    def clear(self) -> bool:
        """Whether the whole interval lies on one side of the limit."""
        return self.interval is None or not self.interval[0] < self.limit < self.interval[1]

    def verdict(self) -> str:
        """One word or two."""
        return ("met" if self.met else "MISSED") + ("" if self.clear else ", INCONCLUSIVE")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON; a number that is none becomes null."""
        return {
            "what": self.what,
            "measured": finite(self.measured),
            "sense": self.sense,
            "limit": self.limit,
            "unit": self.unit,
            "interval": None if self.interval is None else [finite(value) for value in self.interval],
            "met": self.met,
            "conclusive": self.clear,
            "note": self.note,
        }


@dataclass(frozen=True)
class Part:
    """What one part of the benchmark found.

    Attributes:
        system, case: what was measured: the system's name; its recipe and size as plain JSON. None: those of
            the benchmark itself, Shortcut-V2V and ``_real.case.Case``.
    """

    findings: Sequence[Finding]
    tables: Sequence[Table] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    case: Mapping[str, Any] | None = None

    @property
    def met(self) -> bool:
        return all(finding.met for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "met": self.met,
            "findings": [finding.as_dict() for finding in self.findings],
            **self.details,
        }


def finite(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None


def table(title: str, *columns: str) -> Table:
    """A table whose first column is words and whose others are numbers."""
    from rich.table import Table

    made = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim")
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right")
    return made


def verdicts(parts: Mapping[str, Part]) -> Table:
    """Every finding of every part."""
    made = table("Verdicts", "", "measured", "limit", "verdict")
    for name, part in parts.items():
        for item in part.findings:
            unit = f" {item.unit}" if item.unit else ""
            span = "" if item.interval is None else f" ({item.interval[0]:.3g} to {item.interval[1]:.3g})"
            style = "green" if item.met and item.clear else "yellow" if item.met else "bold red"
            made.add_row(
                f"{name}: {item.what}",
                f"{item.measured:.3g}{span}{unit}",
                f"{item.sense} {item.limit:g}{unit}",
                f"[{style}]{item.verdict()}[/]",
            )
            if item.note:
                made.add_row(f"[dim]  {item.note}[/]")
    return made

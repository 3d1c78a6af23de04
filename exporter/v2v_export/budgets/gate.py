"""Holds counted numbers to the file's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from v2v_export.reports.junit import Case


@dataclass(frozen=True)
class Change:
    """One number that is not the file's.

    Attributes:
        section: ``program``, ``played``, a target, or ``<profile>.<backend>.<graph>``.
        counter: empty where the whole section came or went.
        budget, counted: None where there is no such number.
    """

    section: str
    counter: str
    budget: int | None
    counted: int | None

    @property
    def kind(self) -> Literal["changed", "new", "gone"]:
        if self.budget is None and self.counted is None:
            return "gone"
        return "new" if self.budget is None else "gone" if self.counted is None else "changed"

    def __str__(self) -> str:
        what = f"{self.section}: {self.counter}" if self.counter else self.section
        if self.kind == "changed":
            return f"{what} was {self.budget}, is {self.counted} ({_difference(self)})"
        if self.kind == "new":
            return f"{what} is {self.counted} and has no budget"
        if not self.counter:
            return f"{what} has budgets, and the bundle has no such target or graph"
        return f"{what} was {self.budget} and is counted no more"


def left_alone(
    budgets: Iterable[str], counted: Collection[str], targets: Collection[str] | None = None
) -> set[str]:
    """The sections that are not counted this time, and whose budgets say nothing of it.

    Args:
        budgets, counted: sections.
        targets: ``<profile>.<backend>`` of those that were counted; None: all that there are.
    """
    alone = {"played"} - set(counted)
    if targets is not None:
        prefixes = tuple(f"{name}." for name in targets)
        others = {section for section in budgets if not f"{section}.".startswith(prefixes)}
        alone |= others - {"program", "played"}
    return alone


def check_budgets(
    budgets: Mapping[str, Mapping[str, int]],
    counted: Mapping[str, Mapping[str, int]],
    left_out: Set[str] = frozenset(),
) -> list[Change]:
    """Every number of one bundle that differs, in the order of sections and counters.

    Args:
        left_out: sections that were not counted this time, such as ``played``: their budgets are left alone.
    """
    changes: list[Change] = []
    for section in dict.fromkeys((*budgets, *counted)):
        if section in left_out:
            continue
        if section not in counted:
            changes.append(Change(section, "", None, None))
            continue
        known, found = budgets.get(section, {}), counted[section]
        changes += [
            Change(section, counter, known.get(counter), found.get(counter))
            for counter in dict.fromkeys((*known, *found))
            if known.get(counter) != found.get(counter)
        ]
    return changes


def cases(
    counted: Mapping[str, Mapping[str, int]], changes: Sequence[Change], left_out: Set[str] = frozenset()
) -> list[Case]:
    """What a CI system lists: a case for each section, with what changed in it."""
    told: dict[str, list[str]] = {section: [] for section in counted}
    for change in changes:
        told.setdefault(change.section, []).append(str(change))
    made = [
        Case(section, failure="\n".join(lines) or None, output=f"{len(counted.get(section, {}))} counters")
        for section, lines in told.items()
    ]
    return made + [Case(section, skipped="not counted this time") for section in sorted(left_out)]


def _difference(change: Change) -> str:
    assert change.budget is not None
    assert change.counted is not None
    more = change.counted - change.budget
    return f"{more:+d}, {more / change.budget:+.1%}" if change.budget else f"{more:+d}"

"""``v2v-export budgets``: holds a bundle's exact counters to a committed file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from v2v_export.cli._files import make_room
from v2v_export.cli._judging import COUNTED, JUDGED, WRITTEN, Junit
from v2v_export.cli._session import Debug, Json, Session

if TYPE_CHECKING:
    from v2v_runtime.bundle import Bundle

PANEL = "Judge it"


def command(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="Count this target, such as `rtx4090`, and leave the budgets of others alone; may be given "
            "several times. All of the bundle's if not given, and it has to have all of the file's.",
            rich_help_panel=COUNTED,
        ),
    ] = None,
    play: Annotated[
        bool,
        typer.Option(
            "--play/--no-play", help="Count what playing the CPU target costs, too.", rich_help_panel=COUNTED
        ),
    ] = True,
    file: Annotated[
        Path,
        typer.Option(
            "--file",
            "-f",
            metavar="FILE",
            help="The file of budgets, which you commit.",
            rich_help_panel=JUDGED,
        ),
    ] = Path("v2v-budgets.toml"),
    write: Annotated[
        bool,
        typer.Option(
            "--write",
            help="Put the counted numbers into that file, to be reviewed and committed.",
            rich_help_panel=WRITTEN,
        ),
    ] = False,
    junit: Junit = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Hold a bundle's exact counters to a committed file: kernels, fused attentions, bytes, calls, syncs.

    For example: `v2v-export budgets my.v2v --write`, once; then `v2v-export budgets my.v2v` in every CI job.

    A file may hold budgets of more targets than a job builds: `--target rtx4090` counts that one alone.

    They need no clock and no GPU, so a lost fusion in an engine for another machine's GPU shows in any CI
    job. Any difference, better or worse, is status 3 until `--write` has put it into the file.
    """
    from v2v_runtime.bundle import Bundle

    from v2v_export.budgets import (
        cases,
        check_budgets,
        count_bundle,
        left_alone,
        read_budgets,
        write_budgets,
    )
    from v2v_export.reports.junit import write_junit

    session = Session.of(context)
    make_room(junit)
    opened = Bundle.open(bundle, verify="sizes")
    name = opened.manifest.name
    budgets = read_budgets(file) if file.exists() else {}
    known = budgets.get(name, {})
    targets = {_full_name(opened, each) for each in target} if target else None
    counted = count_bundle(opened, targets=targets, play=play)
    left_out = left_alone(known, counted, targets)
    changes = check_budgets(known, counted, left_out)
    if write:
        kept = {section: known[section] for section in left_out & set(known)}
        write_budgets(file, name, {**counted, **kept})
    if junit is not None:
        write_junit(junit, f"budgets {name}", cases(counted, () if write else changes, left_out))
    many = name not in budgets
    for change in changes if not many else ():
        session.out.print(str(change), markup=False, soft_wrap=True)
    number = sum(len(section) for section in counted.values())
    none = "all of them new" if write else f"none of them in {file}"
    told = f"{name}: {number} counters, " + (
        none if many else f"{len(changes)} changed" if changes else f"all as in {file}"
    )
    session.out.print(told, markup=False, soft_wrap=True)
    if changes:
        session.out.print(
            f"written to {file}" if write else "`--write` puts them into the file",
            markup=False,
            soft_wrap=True,
        )
    if not write and any(not change.counter for change in changes):
        told = "`--target NAME` leaves the budgets of targets that this bundle does not have alone"
        session.out.print(told, markup=False, soft_wrap=True)
    session.tell(
        {
            "bundle": name,
            "file": str(file),
            "written": write,
            "counted": counted,
            "changes": [
                {
                    "section": change.section,
                    "counter": change.counter,
                    "budget": change.budget,
                    "counted": change.counted,
                    "text": str(change),
                }
                for change in changes
            ],
        }
    )
    if changes and not write:
        raise typer.Exit(3)


def _full_name(bundle: Bundle, name: str) -> str:
    """``<profile>.<backend>`` of a target of the bundle; V2V-E1020 if it has none of that name."""
    found = bundle.target(name)
    return f"{found.profile}.{found.backend}"

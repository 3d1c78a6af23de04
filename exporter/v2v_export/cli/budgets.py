"""``v2v-export budgets``: holds a bundle's exact counters to a committed file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from v2v_export.cli._files import make_room
from v2v_export.cli._session import Debug, Json, Session

PANEL = "Judge it"


def command(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    file: Annotated[Path, typer.Option("--file", "-f", help="The file of budgets, which you commit.")] = Path(
        "v2v-budgets.toml"
    ),
    write: Annotated[
        bool,
        typer.Option("--write", help="Put the counted numbers into the file, to be reviewed and committed."),
    ] = False,
    play: Annotated[
        bool, typer.Option("--play/--no-play", help="Count what playing the CPU target costs, too.")
    ] = True,
    junit: Annotated[
        Path | None,
        typer.Option(
            "--junit", metavar="FILE", help="Write the verdict as JUnit XML, which CI systems read."
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Hold a bundle's exact counters to a committed file: kernels, fused attentions, bytes, calls, syncs.

    For example: `v2v-export budgets my.v2v --write`, once; then `v2v-export budgets my.v2v` in every CI job.

    They need no clock and no GPU, so a lost fusion in an engine for another machine's GPU shows in any CI
    job. Any difference, better or worse, is status 3 until `--write` has put it into the file.
    """
    from v2v_runtime.bundle import Bundle

    from v2v_export.budgets import cases, check_budgets, count_bundle, read_budgets, write_budgets
    from v2v_export.reports.junit import write_junit

    session = Session.of(context)
    make_room(junit)
    opened = Bundle.open(bundle, verify="sizes")
    name = opened.manifest.name
    budgets = read_budgets(file) if file.exists() else {}
    counted = count_bundle(opened, play=play)
    left_out = set() if "played" in counted else {"played"}
    changes = check_budgets(budgets.get(name, {}), counted, left_out)
    if write:
        kept = {section: budgets[name][section] for section in left_out & set(budgets.get(name, {}))}
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

"""``v2v-export doctor``: what works here."""

from __future__ import annotations

import typer

from v2v_export.cli._session import Debug, Json, Session

PANEL = "Look around"
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def command(context: typer.Context, json: Json = False, debug: Debug = False) -> None:
    """Check what works on this machine, and say what to do about the rest.

    Exit status 0 when nothing failed; a warning (`warn`) is something that only some uses need.
    """
    from rich.table import Table

    from v2v_export.doctor import examine

    session = Session.of(context)
    findings = examine()
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        colour = _COLOURS[finding.status]
        table.add_row(f"[{colour}]{finding.status}[/]", finding.what, finding.seen)
        if finding.fix:
            table.add_row("", "", f"[dim]to do:[/] {finding.fix}")
    session.out.print(table)
    session.tell({"findings": findings})
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(1)

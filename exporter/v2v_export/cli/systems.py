"""``v2v-export systems``: what can be exported."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import typer

from v2v_export.cli._session import Debug, Json, Session

if TYPE_CHECKING:
    from v2v_export.registry import Entry

PANEL = "Look around"


def command(context: typer.Context, json: Json = False, debug: Debug = False) -> None:
    """List the systems that can be exported, other packages' included."""
    from rich.table import Table

    from v2v_export.registry import entries

    session = Session.of(context)
    found = entries()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("system", "what it is", "weights", "from"):
        table.add_column(heading, no_wrap=heading == "system")
    for entry in found:
        if entry.system is None:
            table.add_row(entry.name, f"[red]cannot be loaded:[/] {entry.problem}", "", entry.distribution)
        else:
            weights = ", ".join(slot.name for slot in entry.system.weights)
            table.add_row(entry.name, entry.system.title, weights, entry.distribution)
    session.out.print(table)
    session.tell([_as_dict(entry) for entry in found])


def _as_dict(entry: Entry) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": entry.name,
        "distribution": entry.distribution,
        "module": entry.module,
        "problem": entry.problem,
    }
    system = entry.system
    if system is not None:
        told["title"] = system.title
        told["weights"] = [dataclasses.asdict(slot) for slot in system.weights]
        told["lowerings"] = {family: list(forms) for family, forms in system.lowerings.items()}
        told["options"] = {
            option.name: {"default": option.default, "type": str(option.type)}
            for option in dataclasses.fields(system.options)
        }
    return told

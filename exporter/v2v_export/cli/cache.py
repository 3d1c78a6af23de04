"""``v2v-export cache``: what finished build stages take, and how to get the room back."""

from __future__ import annotations

from typing import Annotated

import typer

from v2v_export.cli._session import Debug, Json, Session

PANEL = "Look around"

_DAY = 24 * 3600.0


def command(
    context: typer.Context,
    free: Annotated[
        float | None,
        typer.Option(
            "--free",
            metavar="DAYS",
            min=0,
            help="Delete what no build has used for so many days; 0: everything.",
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the cache of finished build stages, or free room in it.

    What is deleted is made again when a build needs it. What a running build uses or makes stays. The
    environment variable V2V_CACHE says where the cache is.
    """
    from rich.table import Table

    from v2v_export.store import Store

    session = Session.of(context)
    store = Store()
    running = len(store.leases.running())
    freed = store.gc(free * _DAY) if free is not None else 0
    if free is not None:
        kept = f"; what {running} running build{'s use' if running > 1 else ' uses'} stays" if running else ""
        session.out.print(f"freed {freed / 1e6:.1f} MB{kept}")
    kinds = store.sizes()
    table = Table("stage", "entries", "MB", box=None, pad_edge=False, header_style="bold")
    for kind, (entries, size) in kinds.items():
        table.add_row(kind, str(entries), f"{size / 1e6:.1f}")
    if kinds:
        session.out.print(table)
    total = sum(size for _, size in kinds.values())
    session.out.print(f"{total / 1e6:.1f} MB at {store.root}", markup=False)
    session.tell(
        {
            "root": str(store.root),
            "freed_bytes": freed,
            "running_builds": running,
            "stages": {kind: {"entries": n, "bytes": size} for kind, (n, size) in kinds.items()},
        }
    )

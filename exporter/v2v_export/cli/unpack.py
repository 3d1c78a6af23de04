"""``v2v-export unpack``: a bundle out of the file that ``pack`` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from v2v_export.cli._session import Debug, Json, Session

PANEL = "Play it"


def command(
    context: typer.Context,
    archive: Annotated[Path, typer.Argument(help="What `v2v-export pack` wrote.")],
    bundle: Annotated[
        Path | None,
        typer.Argument(help="The folder to make. [dim]Default: the archive's name without .tar[/]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing folder.")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Unpack a bundle, whole or not at all, with every file checked."""
    from v2v_runtime.archive import unpack

    session = Session.of(context)
    folder = bundle or archive.with_name(archive.name.removesuffix(".tar"))
    if folder == archive:
        raise typer.BadParameter(f"{archive.name} has no .tar to take away: name the folder to make")
    opened = unpack(archive, folder, replace=force)
    targets = sorted(opened.targets())
    session.out.print(f"{opened.root}: {', '.join(targets) or 'no target'}", markup=False)
    session.tell({"bundle": str(opened.root), "identity": opened.manifest.identity, "targets": targets})

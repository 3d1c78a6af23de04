"""``v2v-export pack``: a bundle as one file, for shipping."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from v2v_export.cli._session import Debug, Json, Session

PANEL = "Play it"


def command(
    context: typer.Context,
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    archive: Annotated[
        Path | None, typer.Argument(help="The file to write. [dim]Default: the bundle's name + .tar[/]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Pack a bundle and all its targets into one archive; `v2v-export unpack` makes a bundle of it again.

    Every file is hashed on the way. The archive is a plain tar file without compression: engines and weights
    do not get smaller.
    """
    from v2v_runtime.archive import pack

    session = Session.of(context)
    written = pack(bundle, archive or Path(f"{bundle.resolve()}.tar"), replace=force)
    size = written.stat().st_size
    session.out.print(f"{written}: {size / 1e6:.1f} MB", markup=False)
    session.tell({"archive": str(written), "bytes": size})

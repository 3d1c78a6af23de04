"""What commands share: the headings of ``--help``, the files that they write, and whose engines they load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def trust_option(panel: str | None = None) -> Any:
    """The option ``--trust`` of every command that may load an engine, under a heading of its ``--help``."""
    return typer.Option(
        "--trust",
        metavar="SHA256",
        help="Load the engine with this hash though it was not built here, or all engines of the target with "
        "this hash, which `v2v-export inspect` tells; may be given several times. Engines are native code of "
        "whoever built them.",
        rich_help_panel=panel,
    )


PLAYED, COUNTED, LONG = "What is played", "What is counted", "For how long"
JUDGED, WRITTEN = "What fails", "What is written"
"""The headings of a command's ``--help``."""

Html = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write one self-contained page with plots.", rich_help_panel=WRITTEN
    ),
]
Junit = Annotated[
    Path | None,
    typer.Option(
        "--junit",
        metavar="FILE",
        help="Write figures and verdict as JUnit XML, which CI systems read.",
        rich_help_panel=WRITTEN,
    ),
]

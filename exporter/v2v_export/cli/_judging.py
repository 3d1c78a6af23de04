"""What the commands that judge share: the headings of ``--help``, and the files that they write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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

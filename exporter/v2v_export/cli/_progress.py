"""How long commands show what they do: a bar for people, JSON lines for programs, nothing into a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from v2v_export.cli._session import Session
    from v2v_export.progress import Progress


@contextmanager
def progress_of(session: Session) -> Iterator[Progress]:
    """The progress to hand to long work; everything goes to stderr."""
    from v2v_export.progress import JsonProgress, RichProgress

    if session.json:
        yield JsonProgress(sys.stderr)
        return
    with RichProgress(session.log) as progress:
        yield progress

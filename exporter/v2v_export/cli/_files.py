"""Files that a command writes at its end, looked at before its work begins."""

from __future__ import annotations

from pathlib import Path


def make_room(*files: Path | None) -> None:
    """Sees to it that the files can be written, and that no earlier run's are there to pass for this one's.

    Raises:
        BundleError: a file cannot be written there (V2V-E1051).
    """
    from v2v_runtime.atomic import new_file

    for path in files:
        if path is not None:
            with new_file(path):
                pass  # replaces what is there, so that what hinders writing is told now
            path.unlink()

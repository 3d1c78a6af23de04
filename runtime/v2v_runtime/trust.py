"""Which engines may be loaded: those that this user built on this machine, and those that he trusts by hash.

An engine is native code of whoever built it. What a builder makes here is recorded under its sha256, as an
empty file of that name; a loader asks for the hash of the very bytes that it is about to load.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from v2v_runtime.atomic import write_file

FOLDER = "V2V_TRUST"
"""Environment variable: another folder for the records."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def built_here(sha256: str) -> bool:
    """Whether a builder of this user made an engine of that hash on this machine."""
    return _SHA256.fullmatch(sha256) is not None and (_folder() / sha256).is_file()


def record_built(sha256: str) -> None:
    """Records an engine that was built here.

    Raises:
        ValueError: it is no sha256 in lower-case hexadecimal.
        BundleError: the record cannot be written (V2V-E1051).
    """
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"{sha256!r} is no sha256")
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(folder / sha256, b"")


def _folder() -> Path:
    if named := os.environ.get(FOLDER):
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "v2v" / "engines-built-here"

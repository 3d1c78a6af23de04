"""Which engines may be loaded: those that this user built on this machine, and those that he trusts by hash.

An engine is native code of whoever built it. What a builder makes here is recorded under its sha256, as an
empty file of that name; a loader asks for the hash of the very bytes that it is about to load.

A user trusts an engine's hash, or that of a ``target.json``, which ``target.sha256`` beside it and
``v2v-export inspect`` tell. That file lists the hash of every engine of its target, so this one hash stands
for them all: none can be exchanged under it. A bundle's identity would not do: it covers what is computed,
and under one identity there may be any engines.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from v2v_runtime.atomic import write_file
from v2v_runtime.manifest.parse import parse_target

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


def listed_engines(document: bytes, trust: Collection[str]) -> tuple[str, ...]:
    """The hashes of the engines that a target lists, if ``trust`` holds the hash of its ``target.json``.

    Args:
        document: the bytes of that file: what is hashed is what is read.

    Raises:
        ManifestError: it is no valid target, though it is trusted.
    """
    if hashlib.sha256(document).hexdigest() not in trust:
        return ()
    target = parse_target(document)
    engines = set(target.engines.values())
    return tuple(entry.sha256 for entry in target.files if entry.path in engines)


@contextmanager
def trusted_by_children(engines: Iterable[str]) -> Iterator[None]:
    """Lets processes that are started in the block load engines of these hashes, besides those built here.

    They are told by the environment where records are looked up, which any version of the runtime and any
    program over it heeds. What is built in the block is recorded nowhere that lasts.
    """
    hashes = [item for item in engines if _SHA256.fullmatch(item)]
    if not hashes:
        yield
        return
    before, own = os.environ.get(FOLDER), _folder()
    with tempfile.TemporaryDirectory(prefix="v2v-trust-") as folder:
        known = [entry.name for entry in own.iterdir()] if own.is_dir() else []
        for name in {*known, *hashes}:
            Path(folder, name).touch()
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[FOLDER]
            else:
                os.environ[FOLDER] = before


def _folder() -> Path:
    if named := os.environ.get(FOLDER):
        return Path(named)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "v2v" / "engines-built-here"

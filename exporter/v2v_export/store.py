"""The store: stages of builds under the hash of everything that went into them.

An entry is a folder that is whole or absent: it is made under a temporary name, synced, and renamed. A lock
per entry lets two builds that want the same one share it; the lock is the kernel's, so it ends with its
process, however that ends, and the next build throws the leftovers away.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from v2v_runtime.bundle_codes import BundleCode

from v2v_export.errors import BuildError, V2VError
from v2v_export.leases import Leases

FORMAT = "v1"
"""Changes when the layout below does; entries of another format are left alone."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR}


class Store:
    """See the module's docstring.

    Layout: ``<root>/v1/<kind>/<hash>/`` holds ``key.json``, ``files.json`` and ``data/``. The folder's time
    is that of its last use.

    Args:
        root: None: the folder in ``V2V_CACHE``, or the user's cache folder.
        waiting: told the kind of an entry that another process is making.

    Attributes:
        leases: a build holds one, and ``gc`` leaves it what it uses.
    """

    def __init__(self, root: Path | None = None, waiting: Callable[[str], None] | None = None) -> None:
        self.root = (root or _default_root()).absolute() / FORMAT
        self.leases = Leases(self.root / "locks")
        self._waiting = waiting or (lambda kind: None)

    def lookup(self, kind: str, key: Mapping[str, Any]) -> Path | None:
        """The data folder of an entry that is there and intact, each byte of it, or None."""
        entry = self._entry(kind, key)
        if not (entry / "files.json").is_file():
            return None
        # First told, then read: gc takes away what was not used, never what is about to be.
        with contextlib.suppress(OSError), self.leases.using():
            os.utime(entry)
        return entry / "data" if _intact(entry) else None

    def has(self, kind: str, key: Mapping[str, Any]) -> bool:
        """Whether an entry is there; its files are not read, so ``lookup`` may still find it damaged."""
        return (self._entry(kind, key) / "files.json").is_file()

    def stage(self, kind: str, key: Mapping[str, Any], produce: Callable[[Path], None]) -> Path:
        """The data folder of an entry, made by ``produce`` unless it is there.

        Args:
            kind: the stage's name, a folder's name.
            key: everything that the result depends on, plain JSON.
            produce: fills the empty folder that it gets. If it raises, nothing is kept.

        Raises:
            BuildError: no room (V2V-E7001), or the store cannot be written (V2V-E7002).
        """
        if (found := self.lookup(kind, key)) is not None:
            return found
        entry = self._entry(kind, key)
        with refused_writes(self.root), self.lock(f"{kind}-{entry.name}", kind):
            if (found := self.lookup(kind, key)) is not None:
                return found
            self._clean(entry)
            with temporary_sibling(entry) as part:
                data = part / "data"
                data.mkdir()
                produce(data)
                (part / "key.json").write_bytes(canonical(key) + b"\n")
                (part / "files.json").write_bytes(canonical(_files(data)) + b"\n")
                sync_tree(part)
                part.rename(entry)
                sync_folder(entry.parent)
        return entry / "data"

    def tell_waiting(self, what: str) -> None:
        """Tells the user that another process is making ``what``."""
        self._waiting(what)

    @contextlib.contextmanager
    def lock(self, name: str, what: str = "") -> Iterator[None]:
        """Holds the lock of that name; ``waiting`` is told ``what`` if another process holds it."""
        folder = self.root / "locks"
        with refused_writes(self.root):
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f"{name}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                self.tell_waiting(what or name)
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def discard(self, kind: str, key: Mapping[str, Any]) -> None:
        """Takes an entry away; one that is not there is no error."""
        entry = self._entry(kind, key)
        with self.lock(f"{kind}-{entry.name}", kind):
            _remove(entry)

    def digest(self, path: Path) -> str:
        """sha256 of a file, remembered under its path, size, inode and times as long as none of them changes.

        Raises:
            BuildError: the file cannot be read (V2V-E7003).
        """
        try:
            seen = path.stat()
            key = {
                "path": str(path.absolute()),
                "stat": [seen.st_size, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns],
            }
            if (found := self.lookup("digest", key)) is not None:
                return (found / "sha256").read_text()
            digest = file_sha256(path)
        except OSError as error:
            raise BuildError(
                "V2V-E7003",
                f"cannot read {path}: {error.strerror}",
                "a readable file",
                "correct its path or rights",
            ) from None
        # A file that changes while it is read, or within one tick of its clock, must not be remembered.
        if path.stat().st_mtime_ns == seen.st_mtime_ns and time.time_ns() - seen.st_mtime_ns > 2_000_000_000:
            self.stage("digest", key, lambda folder: _write_text(folder / "sha256", digest))
        return digest

    def sizes(self) -> dict[str, tuple[int, int]]:
        """kind -> how many entries there are, and their bytes; sorted by kind."""
        found: dict[str, tuple[int, int]] = {}
        for entry in sorted(self.root.glob("*/*")):
            if entry.parent.name != "locks" and entry.is_dir():
                entries, size = found.get(entry.parent.name, (0, 0))
                found[entry.parent.name] = (entries + 1, size + _bytes_in(entry))
        return found

    def gc(self, unused_seconds: float) -> int:
        """Takes away entries that were not used for that long; returns the bytes freed.

        What a running build has used since it began stays, and so does what it is making; neither is waited
        for.
        """
        limit = min([time.time() - unused_seconds, *self.leases.running()])
        entries = [path for path in self.root.glob("*/*") if path.parent.name != "locks"]
        with refused_writes(self.root, "free room"):
            return sum(self._free(entry, limit) for entry in entries)

    def _free(self, entry: Path, limit: float) -> int:
        lock = FileLock(self.root / "locks" / f"{entry.parent.name}-{entry.name.split('.')[0]}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return 0  # somebody makes it
        try:
            with self.leases.removing():
                if not entry.is_dir() or entry.stat().st_mtime >= limit:
                    return 0
                aside = _set_aside(entry)
        finally:
            lock.release()
        freed = _bytes_in(aside)
        _remove(aside)
        return freed

    def _entry(self, kind: str, key: Mapping[str, Any]) -> Path:
        return self.root / kind / key_hash(key)

    def _clean(self, entry: Path) -> None:
        """Under the entry's lock: whatever is left of it was left by a process that ended."""
        entry.parent.mkdir(parents=True, exist_ok=True)
        for leftover in (entry, *entry.parent.glob(f"{entry.name}.tmp-*")):
            _remove(leftover)


def canonical(value: Any) -> bytes:
    """The one JSON text of a plain value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def key_hash(key: Mapping[str, Any]) -> str:
    """sha256 of the canonical form."""
    return hashlib.sha256(canonical(key)).hexdigest()


def recorded_sha256(data: Path) -> dict[str, str]:
    """File -> sha256 in the data folder that ``Store.stage`` gave, which has just compared them."""
    files = json.loads((data.parent / "files.json").read_bytes())
    return {name: digest for name, (_, digest) in files.items()}


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def temporary_sibling(path: Path) -> Iterator[Path]:
    """An empty folder beside ``path``, to be renamed to it; if it is still there at the end, it is taken
    away."""
    part = path.with_name(f"{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    part.mkdir()
    try:
        yield part
    finally:
        if part.exists():
            _remove(part)


def sync_tree(root: Path) -> None:
    """Has the kernel write all files and folders below ``root`` to the disk."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            _sync(os.path.join(folder, name))
        _sync(folder)


def sync_folder(path: Path) -> None:
    """Has the kernel write the names in a folder to the disk."""
    _sync(str(path))


@contextlib.contextmanager
def refused_writes(root: Path, doing: str = "build", variable: str = "V2V_CACHE") -> Iterator[None]:
    """Turns a full disk or missing rights, wherever below they surfaced, into a clear error.

    Args:
        root: what is told where the system's error names no file.
        doing: what to do again afterwards.
        variable: the environment variable that moves what is written elsewhere.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, V2VError) and error.code != BundleCode.NOT_WRITTEN:
            raise
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        where = cause.filename or root
        if cause.errno in _FULL:
            raise BuildError(
                "V2V-E7001",
                f"no room left while writing {where}: {cause.strerror}",
                f"enough free space to {doing}; stages of a build that are done are kept",
                f"free some space and {doing} again, or set {variable} to a folder on a larger disk",
            ) from error
        if cause.errno in _REFUSED:
            raise BuildError(
                "V2V-E7002",
                f"cannot write {where}: {cause.strerror}",
                "a folder that may be written",
                f"correct its rights, or set {variable} to a folder of yours",
            ) from error
        raise


def _default_root() -> Path:
    if folder := os.environ.get("V2V_CACHE"):
        return Path(folder)
    from platformdirs import user_cache_path

    return user_cache_path("v2v-export")


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _files(data: Path) -> dict[str, Any]:
    return {
        path.relative_to(data).as_posix(): [path.stat().st_size, file_sha256(path)]
        for path in sorted(data.rglob("*"))
        if path.is_file()
    }


def _intact(entry: Path) -> bool:
    try:
        files = json.loads((entry / "files.json").read_bytes())
        for name, (size, digest) in files.items():
            path = entry / "data" / name
            if path.stat().st_size != size or file_sha256(path) != digest:
                return False
    except (OSError, ValueError):
        return False
    return True


def _remove(path: Path) -> None:
    """Takes a folder away; renamed first, so that an interrupted removal leaves no half entry in place."""
    if path.exists():
        shutil.rmtree(_set_aside(path), ignore_errors=True)


def _set_aside(path: Path) -> Path:
    """The path under a temporary name, which nobody looks up."""
    if ".tmp-" in path.name:
        return path
    return path.rename(path.with_name(f"{path.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}"))


def _sync(path: str) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text)

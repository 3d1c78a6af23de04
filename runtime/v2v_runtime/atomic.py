"""Files and folders that appear whole or not at all: made under a temporary name beside their place, then
moved."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from v2v_runtime.bundle_codes import BundleCode
from v2v_runtime.errors import BundleError

#: Names that begin so are unfinished work: readers pass over them, and whoever holds no lock may delete them.
TEMPORARY = ".tmp-"


def write_file(path: Path, data: bytes) -> None:
    """Writes ``data`` to ``path``, replacing what is there at once.

    Raises:
        BundleError: V2V-E1051.
    """
    with new_file(path) as file:
        file.write(data)


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file beside ``path`` to fill; it becomes ``path`` when the block ends without an error.

    Raises:
        BundleError: V2V-E1051.
    """
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise not_written(error, path) from None
    finally:
        with suppress(NotADirectoryError):  # that nothing could be made there has been told
            temporary.unlink(missing_ok=True)


def fill_file(path: Path, chunks: Iterable[bytes]) -> tuple[int, str]:
    """Writes and syncs a new file in a folder that is itself temporary, with the folders above it.

    Returns:
        Its size, and the sha256 of what was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    size = 0
    with open(path, "xb") as file:
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()


@contextmanager
def new_folder(path: Path, *, replace: bool) -> Iterator[Path]:
    """A temporary folder beside ``path`` to fill; it becomes ``path`` when the block ends without an error.

    Raises:
        BundleError: V2V-E1050: ``path`` exists and ``replace`` is false; V2V-E1051.
    """
    if os.path.lexists(path) and not replace:
        raise exists(path)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    aside = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        for folder, _, _ in os.walk(temporary):
            sync_folder(Path(folder))
        # A folder cannot be renamed over one that is not empty: for a moment neither name holds it.
        if replace and os.path.lexists(path):
            os.rename(path, aside)
        try:
            os.rename(temporary, path)
        except OSError:
            if os.path.lexists(aside) and not os.path.lexists(path):
                os.rename(aside, path)
            if not replace and os.path.lexists(path):
                raise exists(path) from None
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise not_written(error, path) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        remove(aside)


def remove(path: Path) -> None:
    """Deletes a file, a link or a folder with what is in it; nothing if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Makes the names in a folder last through a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def exists(path: Path) -> BundleError:
    """V2V-E1050 for ``path``."""
    return BundleError(
        BundleCode.EXISTS,
        f"{path} exists",
        "a new path",
        "choose another, or replace it: --force of v2v-export, replace=True in Python",
    )


def not_written(error: OSError, path: Path) -> BundleError:
    """V2V-E1051 for ``path``, with what helps against that error."""
    return BundleError(
        BundleCode.NOT_WRITTEN,
        f"{path}: {error.strerror or error}",
        "",
        f"{_HELP.get(error.errno or 0, 'choose another place')}; nothing was left",
    )


_HELP = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free disk space, or choose another disk"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "correct its permissions, or choose a folder of yours"),
    errno.EROFS: "choose a place on a disk that may be written",
    errno.ENOENT: "choose a folder that exists and takes new files",
    errno.ENOTDIR: "correct the path: a part of it is a file, where a folder is needed",
    errno.EISDIR: "correct the path: a folder stands there",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EIO: "check the disk: it fails",
}

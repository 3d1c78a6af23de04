"""Files of a folder that is not trusted: opened beneath it, never through a link, sized before they are read.

Each check is made on the open file, not on its name, so nothing can be exchanged between check and use.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from v2v_runtime.bundle_codes import BundleCode
from v2v_runtime.errors import BundleError
from v2v_runtime.manifest.constraints import LONGEST_PATH

_CHUNK = 1 << 20
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Stamp(NamedTuple):
    """What tells that a file may have been exchanged or changed since: equal stamps are the same content."""

    device: int
    inode: int
    size: int
    changed_ns: int


@contextmanager
def opened(root: Path, path: str) -> Iterator[tuple[int, Stamp]]:
    """Opens the plain file ``path`` (POSIX, relative) beneath ``root``: (descriptor, stamp).

    No part of ``path`` may be a link, and the file must have one name only.

    Raises:
        BundleError: V2V-E1004, E1010, E1014, E1015, E1017.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise BundleError(BundleCode.BAD_PATH, f"{path!r} is not a path inside a bundle")
    descriptors: list[int] = []
    try:
        descriptors.append(os.open(root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY))
        for part in parts[:-1]:
            descriptors.append(os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=descriptors[-1]))
        descriptors.append(os.open(parts[-1], _FLAGS, dir_fd=descriptors[-1]))
        found = os.fstat(descriptors[-1])
        check_plain(found, path)
    except OSError as error:
        for descriptor in descriptors:
            os.close(descriptor)
        raise _named(error, root, path) from None
    except BundleError:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    try:
        yield descriptors[-1], Stamp(found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def check_plain(found: os.stat_result, path: str) -> None:
    """Refuses links and special files (V2V-E1014, E1015)."""
    if stat.S_ISLNK(found.st_mode):
        raise BundleError(
            BundleCode.LINK, f"{path} is a symbolic link", "plain files", "unpack or copy the bundle again"
        )
    if not stat.S_ISREG(found.st_mode):
        raise BundleError(BundleCode.SPECIAL, f"{path} is not a plain file", "plain files and folders")
    if found.st_nlink > 1:
        raise BundleError(
            BundleCode.LINK,
            f"{path} is a hard link: {found.st_nlink} names share its content",
            "files with one name, so that nobody changes them from outside",
            "copy the bundle with cp -r --reflink=auto, which makes files of its own",
        )


def read_file(root: Path, path: str, *, most: int) -> bytes:
    """The whole file, which may have at most ``most`` bytes.

    Raises:
        BundleError: as ``opened``; V2V-E1011: too large, or it changed its size while it was read.
    """
    with opened(root, path) as (descriptor, stamp):
        if stamp.size > most:
            raise BundleError(BundleCode.FILE_SIZE, f"{path} has {stamp.size} bytes", f"at most {most}")
        return b"".join(_chunks(descriptor, stamp.size, path))


def read_checked(root: Path, path: str, size: int, sha256: str) -> bytes:
    """The whole file, only if it has this size and this hash: what is returned is what was hashed.

    Raises:
        BundleError: as ``opened``; V2V-E1011, E1012.
    """
    with opened(root, path) as (descriptor, stamp):
        check_size(path, stamp.size, size)
        data = b"".join(_chunks(descriptor, size, path))
    check_hash(path, hashlib.sha256(data).hexdigest(), sha256)
    return data


def check_file(root: Path, path: str, size: int, sha256: str | None) -> Stamp:
    """That the file exists with this size and, unless None, this hash; gives its stamp of before it was read.

    Raises:
        BundleError: as ``opened``; V2V-E1011, E1012.
    """
    with opened(root, path) as (descriptor, stamp):
        check_size(path, stamp.size, size)
        if sha256 is not None:
            digest = hashlib.sha256()
            for chunk in _chunks(descriptor, size, path):
                digest.update(chunk)
            check_hash(path, digest.hexdigest(), sha256)
        return stamp


def checked_chunks(root: Path, path: str, size: int, sha256: str) -> Iterator[bytes]:
    """The file's bytes in order; after the last of them it raises if their hash was not ``sha256``.

    Raises:
        BundleError: as ``opened``; V2V-E1011, E1012.
    """
    digest = hashlib.sha256()
    with opened(root, path) as (descriptor, stamp):
        check_size(path, stamp.size, size)
        for chunk in _chunks(descriptor, size, path):
            digest.update(chunk)
            yield chunk
    check_hash(path, digest.hexdigest(), sha256)


def check_size(path: str, seen: int, expected: int) -> None:
    """V2V-E1011 unless the two are equal."""
    if seen != expected:
        what = "truncated" if seen < expected else "too long"
        raise BundleError(
            BundleCode.FILE_SIZE,
            f"{path} is {what}: {seen} bytes",
            f"{expected} bytes",
            "copy or unpack the bundle again, or build it again",
        )


def check_hash(path: str, seen: str, expected: str) -> None:
    """V2V-E1012 unless the two are equal."""
    if seen != expected:
        raise BundleError(
            BundleCode.FILE_HASH,
            f"{path} was changed: sha256 {seen}",
            expected,
            "copy or unpack the bundle again, or build it again",
        )


def _chunks(descriptor: int, size: int, path: str) -> Iterator[bytes]:
    """Exactly ``size`` bytes from the current position, and the end of the file after them."""
    yield from _exactly(descriptor, size, path)
    if os.read(descriptor, 1):
        raise BundleError(BundleCode.FILE_SIZE, f"{path} became longer while it was read", f"{size} bytes")


def _exactly(descriptor: int, size: int, path: str) -> Iterator[bytes]:
    left = size
    while left:
        chunk = os.read(descriptor, min(_CHUNK, left))
        if not chunk:
            raise BundleError(
                BundleCode.FILE_SIZE, f"{path} became shorter while it was read", f"{size} bytes"
            )
        left -= len(chunk)
        yield chunk


def _named(error: OSError, root: Path, path: str) -> BundleError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and not _is_link_inside(root, path):
        return BundleError(
            BundleCode.MISSING_FILE, f"{path} does not exist in {root}", "", "copy or unpack the bundle again"
        )
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        return BundleError(
            BundleCode.LINK,
            f"{path} goes through a symbolic link",
            "plain files and folders",
            "copy the bundle again",
        )
    if error.errno in (errno.ENXIO, errno.ENODEV, errno.EISDIR):
        return BundleError(BundleCode.SPECIAL, f"{path} is not a plain file", "plain files and folders")
    fix = "check its permissions" if isinstance(error, PermissionError) else ""
    return BundleError(BundleCode.UNREADABLE, f"{root / path}: {error.strerror}", "", fix)


def _is_link_inside(root: Path, path: str) -> bool:
    """O_DIRECTORY | O_NOFOLLOW on a link gives ENOTDIR: tell that from a missing or plain parent."""
    parts = path.split("/")
    return any((root.joinpath(*parts[: k + 1])).is_symlink() for k in range(len(parts)))


def listing(root: Path, folder: str) -> Iterator[str]:
    """Every plain file below ``root/folder``, as paths relative to ``root``; nothing if there is no folder.

    Raises:
        BundleError: a link or special file anywhere (V2V-E1014, E1015); a path longer than any list may hold
            (V2V-E1013).
    """
    if len(folder) > LONGEST_PATH + len("targets/"):
        raise BundleError(BundleCode.UNLISTED, f"{folder[:80]}... is deeper than any listed path")
    for entry in entries(root, folder):
        path = f"{folder}/{entry.name}"
        if entry.is_dir():
            yield from listing(root, path)
        else:
            yield path


def names(root: Path, folder: str) -> list[str]:
    """The names in ``root/folder``, sorted, whatever they name; nothing if there is no folder.

    Raises:
        BundleError: V2V-E1004.
    """
    try:
        return sorted(os.listdir(root / folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _named(error, root, folder) from None


def entries(root: Path, folder: str) -> list[os.DirEntry[str]]:
    """What stands in ``root/folder``, sorted by name: plain files and folders.

    Nothing if there is no folder, and nothing of what goes meanwhile.

    Raises:
        BundleError: V2V-E1004, E1014, E1015.
    """
    found = []
    try:
        for entry in sorted(os.scandir(root / folder), key=lambda entry: entry.name):
            try:
                if not entry.is_dir(follow_symlinks=False):
                    check_plain(entry.stat(follow_symlinks=False), f"{folder}/{entry.name}".lstrip("/"))
            except FileNotFoundError:  # it has gone since it was listed
                continue
            found.append(entry)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _named(error, root, folder) from None
    return found


def read_start(root: Path, path: str, length: int) -> bytes:
    """The first ``length`` bytes, or the whole file if it is shorter.

    Raises:
        BundleError: as ``opened``.
    """
    with opened(root, path) as (descriptor, stamp):
        return b"".join(_exactly(descriptor, min(length, stamp.size), path))


def file_size(root: Path, path: str) -> int:
    """The size in bytes.

    Raises:
        BundleError: as ``opened``.
    """
    with opened(root, path) as (_, stamp):
        return stamp.size

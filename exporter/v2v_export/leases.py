"""Leases: what a running build has used stays in the store until it ends.

A build reads stages by their paths, long after it looked them up. It holds a lease for as long as it runs: a
file with the kernel's lock on it, so the lease ends with its process, however that ends. The file's time is
the lease's beginning. Whoever frees room takes nothing that was used from the first running lease's beginning
on; a stage's use is told by its folder's time, under a lock that a removal excludes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "lease-"
_UNWRITABLE = {errno.EACCES, errno.EROFS, errno.EPERM}


class Leases:
    """See the module's docstring.

    Args:
        folder: where the files of locks are; made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """A lease; none where nothing can be written, for nothing can be taken away there either."""
        try:
            path, descriptor = self._begin()
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            yield
            return
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def running(self) -> list[float]:
        """When each running lease began, seconds since the epoch; files that ended processes left go away."""
        found = []
        for path in self._folder.glob(f"{_PREFIX}*"):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink(missing_ok=True)
                except BlockingIOError:
                    found.append(os.fstat(descriptor).st_mtime)
                finally:
                    os.close(descriptor)
        return found

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """While a use is told; any number at once."""
        with self._gate(fcntl.LOCK_SH):
            yield

    @contextlib.contextmanager
    def removing(self) -> Iterator[None]:
        """While one entry is looked at and taken out of its place: nobody tells a use meanwhile."""
        with self._gate(fcntl.LOCK_EX):
            yield

    @contextlib.contextmanager
    def _gate(self, operation: int) -> Iterator[None]:
        try:
            descriptor = self._open(self._folder / "uses.lock")
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            yield
            return
        try:
            fcntl.flock(descriptor, operation)
            yield
        finally:
            os.close(descriptor)

    def _begin(self) -> tuple[Path, int]:
        while True:
            path = self._folder / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
            descriptor = self._open(path)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            # Between the two lines above ``running`` may have taken it for one that was left.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False)):
                    os.utime(descriptor)
                    return path, descriptor
            os.close(descriptor)

    def _open(self, path: Path) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

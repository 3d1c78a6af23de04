"""The place that a bundle is published at: its lock, and the moment in which the new one takes it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from v2v_runtime.atomic import TEMPORARY, not_written, remove

from v2v_export.store import sync_folder

_HERE = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE
_UNABLE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}
"""What kernels, file systems and sandboxes answer that cannot exchange two names."""

_ATTEMPTS = 100
"""Times that a folder is made again for a lock."""


@contextmanager
def hold(out: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock of ``out``, a file beside it that ends with the process, whichever store a build uses.

    A place where nobody may write needs no lock: what stands there is read, and a write will say why not.

    Args:
        waiting: called once if another process holds it.

    Raises:
        BundleError: nothing can be made beside ``out`` (V2V-E1051).
    """
    path = out.with_name(f"{TEMPORARY}{out.name}.lock")
    with ExitStack() as stack:
        try:
            stack.enter_context(_placed(out, path, cache(waiting)))
        except OSError as error:
            if not (out.exists() and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM)):
                raise not_written(error, out) from error
        yield


def _placed(out: Path, path: Path, waiting: Callable[[], None]) -> ExitStack:
    """``_locked``, with the folders above made, as what undoes both.

    Who held it, and made nothing, takes the folders that it made away, under those who come or wait: then
    they are made again. A folder that takes no files says the same each time.
    """
    left = _ATTEMPTS
    while True:
        with ExitStack() as folders:
            folders.enter_context(_parents(out))
            try:
                descriptor = _locked(path, waiting)
            except FileNotFoundError:
                left -= 1
                if not left:
                    raise
                continue
            # Name and folders go before the lock is let go: who waits for it then knows that they did.
            stack = ExitStack()
            stack.callback(os.close, descriptor)
            stack.push(folders.pop_all())
            stack.callback(path.unlink, missing_ok=True)
            return stack


@contextmanager
def _parents(out: Path) -> Iterator[None]:
    """Makes the folders above ``out``; those that it made and that are empty in the end are taken away."""
    made = [folder for folder in out.parents if not folder.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


def _locked(path: Path, waiting: Callable[[], None]) -> int:
    """An open descriptor that holds the lock of the file that ``path`` names.

    Who holds it unlinks it, so one that was waited for may be nobody's name any more: then once again.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def publish(part: Path, out: Path, aside: Path) -> None:
    """Moves the finished folder ``part`` to ``out``; what is there is taken away.

    The two are exchanged in one step where the system can. Elsewhere the old one is moved ``aside`` first,
    and for a moment neither stands at ``out``; if the process ends then, ``recover`` puts the old one back.
    """
    if not os.path.lexists(out):
        part.rename(out)
    elif not exchange(part, out):
        out.rename(aside)
        part.rename(out)
    sync_folder(out.parent)
    for old in (part, aside):
        remove(old)


def recover(part: Path, out: Path, aside: Path) -> None:
    """Clears up after a process that ended while it worked on ``out``; called under the lock of ``out``."""
    if os.path.lexists(aside) and not os.path.lexists(out):
        aside.rename(out)
    for leftover in (part, aside):
        remove(leftover)


def exchange(one: Path, other: Path) -> bool:
    """Has two names change places at once; False where the system cannot, and nothing was done.

    Raises:
        OSError: it can, and refused.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    call.restype = ctypes.c_int
    if call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNABLE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))

"""The C library's heap."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""glibc's names, see mallopt(3)."""

BLOCK = 2**18
"""Bytes from which a block is mapped by itself after ``return_at_once``."""


def give_back() -> None:
    """Gives freed memory back to the system: glibc keeps it for itself until it is told."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def return_at_once() -> None:
    """From now on this process gives each freed block of ``BLOCK`` bytes or more back at once, and pays for
    it with page faults when it takes the next one.

    glibc begins so, with half of that size, but takes a mapped block that is freed for a sign that more of
    its size will come, and serves them from the heap, up to 32 MiB. There a small block that stays keeps all
    below it. Other C libraries than glibc are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, BLOCK)
        library.mallopt(_M_TRIM_THRESHOLD, BLOCK)

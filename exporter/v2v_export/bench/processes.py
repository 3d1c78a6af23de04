"""Processor time of a process and all that it started, as the kernel counts it."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

_PROC = Path("/proc")


def session_seconds(leaders: Collection[int]) -> dict[int, float] | None:
    """Processor time in seconds, all threads, that the processes of sessions have used since their start.

    A process that ended is counted in the one that waited for it. One that left for a session of its own is
    not counted. A tick is 10 ms on most machines: that much of each may be missing.

    Args:
        leaders: ids of the processes that the sessions began with, which have not been waited for.

    Returns:
        Leader -> seconds; None where the system does not tell of every one of them.
    """
    used: dict[int, int] = {}
    try:
        entries = [entry for entry in os.listdir(_PROC) if entry.isdecimal()]
    except OSError:
        return None
    for entry in entries:
        try:
            words = (_PROC / entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if len(words) > 14 and (session := int(words[3])) in leaders:
            # Of itself and of the children that it waited for: in user and in system mode.
            used[session] = used.get(session, 0) + sum(int(word) for word in words[11:15])
    if any(leader not in used for leader in leaders):
        return None
    return {leader: ticks / _TICK for leader, ticks in used.items()}

"""This process's control group, in Linux's second version: its quota of processor time, and what that cost.

A quota holds for a group with all that are inside it, so the groups around one's own count as well.
"""

from __future__ import annotations

from pathlib import Path

_ROOT, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def own_groups() -> list[Path]:
    """The folder of this process's group and those of the groups around it, its own first.

    Empty where the system does not tell. A group that a container cannot see has a folder that is not there.
    """
    own = next((line[3:] for line in _text(_OWN).splitlines() if line.startswith("0::")), None)
    if own is None:
        return []
    group = _ROOT / own.lstrip("/")
    return [place for place in (group, *group.parents) if place.is_relative_to(_ROOT)]


def throttled_seconds() -> float:
    """How long a quota has held this group's processes back so far, summed over cores; 0 without one.

    Two quotas that hold back at once count twice: of two looks, the difference says whether any did.
    """
    held = 0
    for group in own_groups():
        lines = _text(group / "cpu.stat").splitlines()
        fields = dict(line.split(maxsplit=1) for line in lines if " " in line)
        held += int(fields.get("throttled_usec", 0))
    return held / 1e6


def quota_cores() -> float | None:
    """Cores' worth of processor time that this group may use: the least of all quotas; None without one."""
    limits = [_text(group / "cpu.max").split() for group in own_groups()]
    shares = [(words[0], words[1]) for words in limits if len(words) == 2]
    return min((int(used) / int(period) for used, period in shares if used != "max"), default=None)


def _text(path: Path) -> str:
    """What a file holds; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""

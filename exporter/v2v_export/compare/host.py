"""What else the machine was doing: foreign load, and clocks that were held down."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True)
class HostSpan:
    """What the host did over one round.

    Attributes:
        seconds: how long it took.
        busy_seconds: processor time that all processes used, all cores added up; None where it is not told.
        own_seconds: the part that the two workers used.
        throttled: the reasons for which clocks were held down; empty if none was told.
    """

    seconds: float
    busy_seconds: float | None
    own_seconds: float
    throttled: tuple[str, ...] = ()

    @property
    def foreign(self) -> float | None:
        """Cores' worth of processor time that neither worker used."""
        if self.busy_seconds is None or self.seconds <= 0:
            return None
        return max(0.0, self.busy_seconds - self.own_seconds) / self.seconds


class HostWatch:
    """Measures from its making to ``stop``."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._busy = busy_seconds()
        self._throttles = _throttle_counts()

    def stop(self, own_seconds: float) -> HostSpan:
        """What happened since.

        Args:
            own_seconds: processor time that the workers say they used.
        """
        busy = busy_seconds()
        return HostSpan(
            seconds=time.perf_counter() - self._begin,
            busy_seconds=None if busy is None or self._busy is None else busy - self._busy,
            own_seconds=own_seconds,
            throttled=tuple(
                f"{name}: clocks held down for heat"
                for name, count in sorted(_throttle_counts().items())
                if count > self._throttles.get(name, count)
            )
            + tuple(gpu_throttles()),
        )


def busy_seconds() -> float | None:
    """Processor time of all processes since the machine's start, all cores.

    None where the system does not tell, or tells of more cores than this process may use: what runs on the
    others is none of our concern, and may be another container's.
    """
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    cores = sum(line.startswith("cpu") for line in lines) - 1
    if cores != len(os.sched_getaffinity(0)):
        return None
    line = lines[0]
    user, nice, system, _idle, _wait, irq, softirq, *_ = (int(word) for word in line.split()[1:])
    return (user + nice + system + irq + softirq) / _TICK


def gpu_throttles() -> list[str]:
    """Why NVIDIA GPUs run below their clocks now: heat or power, as nvidia-smi tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    reasons = ("hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake_slowdown")
    query = ",".join(f"clocks_event_reasons.{reason}" for reason in reasons)
    try:
        answer = subprocess.run(
            [tool, f"--query-gpu=index,{query}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    told = []
    for line in answer.splitlines():
        index, *states = (word.strip() for word in line.split(","))
        told += [
            f"GPU {index}: {reason}"
            for reason, state in zip(reasons, states, strict=False)
            if state == "Active"
        ]
    return told


def _throttle_counts() -> dict[str, int]:
    """Core -> how often it was held down for heat so far, where the kernel counts it."""
    counts = {}
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count"):
        try:
            counts[path.parts[-3]] = int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return counts

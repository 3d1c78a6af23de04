"""What else the machine was doing: foreign load, and clocks or processor time that were held back."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from v2v_export.bench.cgroup import throttled_seconds

_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

_STAT = Path("/proc/stat")
_CPU = Path("/sys/devices/system/cpu")

FOREIGN = 0.25
"""Cores' worth of other processes' work that is still no disturbance."""

QUOTA_SHARE = 0.01
"""Share of a measurement that a container's quota may hold its processes back for."""

_GPU_REASONS = ("hw_thermal_slowdown", "sw_thermal_slowdown", "hw_power_brake_slowdown")


@dataclass(frozen=True)
class HostSpan:
    """What the host did while something was measured.

    Attributes:
        seconds: how long it took.
        busy_seconds: processor time that all processes used, and that a hypervisor gave to other machines, of
            all cores; None where it is not told.
        own_seconds: the part that the measured processes used.
        throttled: the reasons for which clocks or processor time were held back; empty if none was told.
    """

    seconds: float
    busy_seconds: float | None
    own_seconds: float
    throttled: tuple[str, ...] = ()

    @property
    def foreign(self) -> float | None:
        """Cores' worth of processor time that none of the measured processes used."""
        if self.busy_seconds is None or self.seconds <= 0:
            return None
        return max(0.0, self.busy_seconds - self.own_seconds) / self.seconds


class HostWatch:
    """Measures from its making to ``stop``."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._busy = busy_seconds()
        self._throttles = _throttle_counts()
        self._held = throttled_seconds()

    def stop(self, own_seconds: float) -> HostSpan:
        """What happened since.

        Args:
            own_seconds: processor time that the measured processes used.
        """
        busy, seconds = busy_seconds(), time.perf_counter() - self._begin
        held = [
            f"{name}: clocks held down for heat"
            for name, count in sorted(_throttle_counts().items())
            if count > self._throttles.get(name, count)
        ]
        if throttled_seconds() - self._held > QUOTA_SHARE * seconds:
            held.append("the container's processor quota held it back")
        return HostSpan(
            seconds=seconds,
            busy_seconds=None if busy is None or self._busy is None else busy - self._busy,
            own_seconds=own_seconds,
            throttled=(*held, *gpu_throttles()),
        )


def busy_seconds() -> float | None:
    """Processor time of all processes since the machine's start, all cores, with what a hypervisor gave away.

    None where the system does not tell, or tells of more cores than this process may use: what runs on the
    others is none of our concern, and may be another container's.
    """
    try:
        lines = _STAT.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    cores = sum(line.startswith("cpu") for line in lines) - 1
    if cores != len(os.sched_getaffinity(0)):
        return None
    user, nice, system, idle, _wait, irq, softirq, *more = (int(word) for word in lines[0].split()[1:])
    busy = user + nice + system + irq + softirq + sum(more[:1])  # the next column is time stolen
    # Sandboxes that stand in for a kernel show zeros for ever.
    return busy / _TICK if busy + idle else None


def gpu_throttles() -> list[str]:
    """Why NVIDIA GPUs run below their clocks now: heat or power, as nvidia-smi tells."""
    # Drivers before 535 know the older name only.
    lines = _query("clocks_event_reasons") or _query("clocks_throttle_reasons")
    told = []
    for line in lines:
        index, *states = (word.strip() for word in line.split(","))
        told += [
            f"GPU {index}: {reason}"
            for reason, state in zip(_GPU_REASONS, states, strict=False)
            if state == "Active"
        ]
    return told


def _query(name: str) -> list[str]:
    """A line for each GPU, ``index, state, state, state``; none where the tool does not know the question."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = ",".join(f"{name}.{reason}" for reason in _GPU_REASONS)
    command = [tool, f"--query-gpu=index,{query}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line for line in answer.stdout.splitlines() if line.strip()]


def _throttle_counts() -> dict[str, int]:
    """Core -> how often it was held down for heat so far, where the kernel counts it."""
    counts = {}
    for path in _CPU.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"):
        try:
            counts[path.parts[-3]] = int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return counts

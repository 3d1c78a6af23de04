"""What a number was measured on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from v2v_export.bench.cgroup import quota_cores

_PACKAGES = (
    "v2v-export",
    "v2v-runtime",
    "torch",
    "onnx",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "tensorrt-rtx-cu12-libs",
    "tensorrt-rtx-cu13-libs",
    "numpy",
)

_PASSING = frozenset({"load", "clock_mhz", "temperature_c", "gpu_clocks"})
"""What differs from minute to minute: shown, and not in the fingerprint."""

_CPU, _THERMAL, _CPU_INFO = Path("/sys/devices/system/cpu"), Path("/sys/class/thermal"), Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """A machine's fingerprint: numbers from two fingerprints are not comparable.

    Attributes:
        cores: cores that this process may use.
        memory_gib: total memory.
        gpus: name and driver version of each, as nvidia-smi tells; empty without it.
        load: the one-minute load average before the run, None where the system has none.
        governor: who sets the processor's clock, as the kernel calls it; None where it does not tell.
        clock_mhz: the processor's clock now, the mean over its cores; None where the kernel does not tell.
        temperature_c: the warmest part that the kernel tells of, in degrees Celsius.
        gpu_clocks: each GPU's clocks and temperature now, as nvidia-smi tells.
        packages: name -> version of what computes.
        quota: cores' worth of processor time that a container may use; None without a limit.
    """

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    packages: dict[str, str]
    gpus: tuple[str, ...]
    load: float | None
    governor: str | None = None
    clock_mhz: int | None = None
    temperature_c: float | None = None
    gpu_clocks: tuple[str, ...] = ()
    quota: float | None = None

    @property
    def cores_told(self) -> str:
        """The cores in words, with the quota where there is one."""
        return f"{self.cores} cores" + ("" if self.quota is None else f" (quota {self.quota:g})")

    @property
    def fingerprint(self) -> str:
        """Equal for equal hardware, software and governor; twelve hexadecimal digits."""
        fields = {name: value for name, value in asdict(self).items() if name not in _PASSING}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def hardware(self) -> str:
        """Equal for equal hardware, governor and quota, whatever runs on it; twelve hexadecimal digits.

        Memory counts in whole GiB, rounded up: a kernel takes its share first, which differs from version to
        version.
        """
        gpus = [[*words[:1], *words[2:]] for words in self._gpus()]
        kind = self.system.split()[-1]
        fields = [self.cpu, self.cores, self.quota, math.ceil(self.memory_gib), kind, self.governor, gpus]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:12]

    @property
    def versions(self) -> dict[str, str]:
        """What runs on the hardware: name -> version."""
        drivers = {f"GPU {index}'s driver": words[1] for index, words in enumerate(self._gpus())}
        system = " ".join(self.system.split()[:-1])
        return {"system": system, "python": self.python, **drivers, **self.packages}

    def _gpus(self) -> list[list[str]]:
        """Each GPU's name, driver version, memory and compute capability."""
        return [words.split(", ") for words in self.gpus if ", " in words]


def this_machine() -> Machine:
    """The machine that this process runs on. Imports none of the packages it names."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        packages={name: version for name in _PACKAGES if (version := installed(name))},
        gpus=tuple(gpus()),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        governor=next(iter(_read(_CPU.glob("cpu[0-9]*/cpufreq/scaling_governor"))), None),
        clock_mhz=_clock(),
        temperature_c=_temperature(),
        gpu_clocks=tuple(_ask_gpus("clocks.sm,clocks.mem,temperature.gpu")),
        quota=quota_cores(),
    )


def installed(distribution: str) -> str | None:
    """The version of an installed distribution, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def gpus() -> list[str]:
    """``name, driver version, memory, compute capability`` of each NVIDIA GPU, as nvidia-smi tells."""
    return _ask_gpus("name,driver_version,memory.total,compute_cap")


def _ask_gpus(query: str) -> list[str]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    command = [tool, f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def _clock() -> int | None:
    """From cpufreq, or from what the kernel prints of each core."""
    found = [float(text) / 1000 for text in _read(_CPU.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))]
    if not found:
        lines = [line for text in _read([_CPU_INFO]) for line in text.splitlines()]
        found = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return round(sum(found) / len(found)) if found else None


def _temperature() -> float | None:
    zones = _THERMAL.glob("thermal_zone*/temp")
    return max((int(text) / 1000 for text in _read(zones)), default=None)


def _read(paths: Iterable[Path]) -> list[str]:
    """The contents of those that can be read."""
    found = []
    for path in sorted(paths):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found.append(path.read_text(encoding="utf-8").strip())
    return found


def _cpu() -> str:
    info = _CPU_INFO
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

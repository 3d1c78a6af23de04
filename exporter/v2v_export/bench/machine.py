"""What a number was measured on."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

_PACKAGES = ("v2v-export", "v2v-runtime", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy")


@dataclass(frozen=True)
class Machine:
    """A machine's fingerprint: numbers from two fingerprints are not comparable.

    Attributes:
        cores: cores that this process may use.
        memory_gib: total memory.
        gpus: name and driver version of each, as nvidia-smi tells; empty without it.
        load: the one-minute load average before the run, None where the system has none; not in the hash.
        packages: name -> version of what computes.
    """

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    packages: dict[str, str]
    gpus: tuple[str, ...]
    load: float | None

    @property
    def fingerprint(self) -> str:
        """Equal for equal hardware and software; twelve hexadecimal digits."""
        fields = asdict(self)
        del fields["load"]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]


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
    )


def installed(distribution: str) -> str | None:
    """The version of an installed distribution, None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def gpus() -> list[str]:
    """``name, driver version, memory, compute capability`` of each NVIDIA GPU, as nvidia-smi tells."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = "--query-gpu=name,driver_version,memory.total,compute_cap"
    try:
        answer = subprocess.run(
            [tool, query, "--format=csv,noheader"], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

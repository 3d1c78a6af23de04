"""The machine's fingerprint: what it is made of, read from files and tools that are known."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy
import pytest
from v2v_export.bench import machine
from v2v_export.bench.machine import Machine, this_machine

MODULES = {"onnxruntime": "onnxruntime", "tensorrt-rtx-cu12-libs": "tensorrt_rtx_libs"}
GPU = "NVIDIA GeForce RTX 4090, 550.54.14, 24564 MiB, 8.9"
KNOWN = Machine(
    cpu="AMD EPYC 9B14",
    cores=2,
    memory_gib=23.5,
    system="Linux 6.1.0 x86_64",
    python="3.11.7",
    packages={"onnxruntime": "1.31.1"},
    gpus=(GPU,),
    load=0.1,
    governor="performance",
)


@pytest.mark.parametrize(
    "passing", [{"load": 9.0}, {"clock_mhz": 800}, {"temperature_c": 90.0}, {"gpu_clocks": ("210 MHz",)}]
)
def test_what_passes_is_in_no_fingerprint(passing: dict[str, object]) -> None:
    other = replace(KNOWN, **passing)
    assert other.fingerprint == KNOWN.fingerprint
    assert other.hardware == KNOWN.hardware


@pytest.mark.parametrize(
    "change",
    [
        {"packages": {"onnxruntime": "1.32.0"}},
        {"python": "3.11.9"},
        {"system": "Linux 6.8.0 x86_64"},
        {"gpus": (GPU.replace("550.54.14", "560.1"),)},
        {"memory_gib": 23.4},
    ],
)
def test_versions_change_the_fingerprint_and_not_the_hardware(change: dict[str, object]) -> None:
    other = replace(KNOWN, **change)
    assert other.fingerprint != KNOWN.fingerprint
    assert other.hardware == KNOWN.hardware
    if "memory_gib" not in change:
        assert other.versions != KNOWN.versions


@pytest.mark.parametrize(
    "change",
    [
        {"cpu": "AMD EPYC 9B45"},
        {"cores": 4},
        {"memory_gib": 31.2},
        {"governor": "powersave"},
        {"quota": 1.5},
        {"gpus": (GPU.replace("4090", "4080"),)},
        {"gpus": (GPU, GPU)},
        {"gpus": ()},
        {"system": "Linux 6.1.0 aarch64"},
    ],
)
def test_hardware_changes_both(change: dict[str, object]) -> None:
    other = replace(KNOWN, **change)
    assert other.fingerprint != KNOWN.fingerprint
    assert other.hardware != KNOWN.hardware


def test_versions_by_name() -> None:
    assert KNOWN.versions == {
        "system": "Linux 6.1.0",
        "python": "3.11.7",
        "GPU 0's driver": "550.54.14",
        "onnxruntime": "1.31.1",
    }


def test_gpus_as_nvidia_smi_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"""#!/bin/sh
case "$1" in
--query-gpu=name,driver_version,memory.total,compute_cap) echo '{GPU}';;
--query-gpu=clocks.sm,clocks.mem,temperature.gpu) echo '2520 MHz, 10501 MHz, 46';;
*) exit 2;;
esac
""")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = this_machine()
    assert found.gpus == (GPU,)
    assert found.gpu_clocks == ("2520 MHz, 10501 MHz, 46",)
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert this_machine().gpus == ()


def test_clock_governor_and_temperature_as_kernels_write_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for core, kilohertz in enumerate((3_400_000, 3_600_000)):
        folder = tmp_path / f"cpu{core}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text("schedutil\n")
        (folder / "scaling_cur_freq").write_text(f"{kilohertz}\n")
    for zone, millidegrees in enumerate((41_000, 63_500)):
        (tmp_path / f"thermal_zone{zone}").mkdir()
        (tmp_path / f"thermal_zone{zone}" / "temp").write_text(f"{millidegrees}\n")
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: A Processor @ 2.0GHz\ncpu MHz\t\t: 1000.0\ncpu MHz\t: 2000.5\n")
    for name, value in (("_CPU", tmp_path), ("_THERMAL", tmp_path), ("_CPU_INFO", info)):
        monkeypatch.setattr(machine, name, value)
    found = this_machine()
    assert (found.cpu, found.governor, found.clock_mhz) == ("A Processor @ 2.0GHz", "schedutil", 3500)
    assert found.temperature_c == 63.5
    monkeypatch.setattr(machine, "_CPU", tmp_path / "none")
    monkeypatch.setattr(machine, "_THERMAL", tmp_path / "none")
    found = this_machine()
    assert (found.governor, found.temperature_c) == (None, None)
    assert found.clock_mhz == 1500, "from what the kernel prints of each core, where it has no cpufreq"


@pytest.mark.parametrize(("quota", "told"), [(None, "cores"), (1.5, "cores (quota 1.5)")])
def test_a_quota_is_told_with_the_cores(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, told: str
) -> None:
    monkeypatch.setattr(machine, "quota_cores", lambda: quota)
    found = this_machine()
    assert found.quota == quota
    assert found.cores_told == f"{found.cores} {told}"


def test_this_machine_tells_what_computes() -> None:
    found = this_machine()
    assert found.packages["numpy"] == numpy.__version__
    engines = [name for name in ("onnxruntime", "tensorrt-rtx-cu12-libs") if find_spec(MODULES[name])]
    assert {name: found.packages[name] for name in engines} == {name: version(name) for name in engines}
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.memory_gib > 0

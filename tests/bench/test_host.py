"""What the host did: read from files as kernels and drivers write them, and from this machine's own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from v2v_export.bench import host
from v2v_export.bench.host import HostSpan, HostWatch, busy_seconds, gpu_throttles

TICK = os.sysconf("SC_CLK_TCK")
CORES = len(os.sched_getaffinity(0))


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "stat"
    monkeypatch.setattr(host, "_STAT", path)
    return path


def lines(*columns: int, cores: int = CORES) -> str:
    """/proc/stat of a machine of so many cores; only the first line's numbers are looked at."""
    words = " ".join(map(str, columns))
    each = [f"cpu{core} 1 1 1 1 1 1 1 1 0 0\n" for core in range(cores)]
    return "".join([f"cpu  {words}\n", *each, "intr 5\n"])


def test_busy_time_by_hand(stat: Path) -> None:
    """user 100, nice 20, system 30, idle 1000, waiting 7, irq 1, softirq 2, stolen 50: 203 are busy."""
    stat.write_text(lines(100, 20, 30, 1000, 7, 1, 2, 50, 3, 4))
    assert busy_seconds() == pytest.approx(203 / TICK)
    stat.write_text(lines(100, 20, 30, 1000, 7, 1, 2))
    assert busy_seconds() == pytest.approx(153 / TICK), "old kernels tell of no stolen time"


def test_time_that_tells_nothing_is_not_told(stat: Path) -> None:
    assert busy_seconds() is None, "there is no such file"
    stat.write_text(lines(0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    assert busy_seconds() is None, "a sandbox's zeros"
    stat.write_text(lines(100, 20, 30, 1000, 7, 1, 2, 50, 3, 4, cores=CORES + 1))
    assert busy_seconds() is None, "a core that this process may not use"


@pytest.mark.parametrize(("busy", "own", "foreign"), [(3.0, 1.0, 1.0), (1.0, 1.2, 0.0), (None, 1.0, None)])
def test_foreign_cores(busy: float | None, own: float, foreign: float | None) -> None:
    assert HostSpan(2.0, busy, own).foreign == foreign
    assert HostSpan(0.0, busy, own).foreign is None


@pytest.mark.skipif(busy_seconds() is None, reason="/proc/stat does not tell of this process's cores alone")
def test_what_burns_here_is_seen_and_is_foreign_unless_it_is_ones_own() -> None:
    """Half a second of this process's time on the machine's own clock; other processes can only add to it."""
    watch = HostWatch()
    used = -time.process_time()
    while used + time.process_time() < 0.5:
        pass
    span = watch.stop(own_seconds=0.0)
    assert span.busy_seconds is not None
    assert span.busy_seconds >= 0.5 - 2 * CORES / TICK
    alone = HostSpan(span.seconds, span.busy_seconds, 0.5)
    assert span.foreign is not None
    assert alone.foreign == pytest.approx(max(0.0, span.busy_seconds - 0.5) / span.seconds)
    assert alone.foreign < span.foreign


def test_heat_between_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_CPU", tmp_path)
    counts = [tmp_path / f"cpu{core}" / "thermal_throttle" / "core_throttle_count" for core in range(3)]
    for path, count in zip(counts, ("4", "0", "broken"), strict=True):
        path.parent.mkdir(parents=True)
        path.write_text(count + "\n")
    watch = HostWatch()
    assert watch.stop(0.0).throttled == (), "what happened before does not count"
    counts[0].write_text("5\n")
    assert watch.stop(0.0).throttled == ("cpu0: clocks held down for heat",)


def test_a_quota_that_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was held back before does not count."""
    held = [3.0]
    monkeypatch.setattr(host, "throttled_seconds", lambda: held[0])
    watch = HostWatch()
    assert watch.stop(0.0).throttled == ()
    held[0] += 1000.0
    assert watch.stop(0.0).throttled == ("the container's processor quota held it back",)


def nvidia_smi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tool of that name at the front of the PATH, and where it writes what it was asked."""
    tool = folder / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/asked"\n{script}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / "asked"


def test_a_hot_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "printf '0, Not Active, Active, Not Active\\n1, Active, Not Active, Active\\n'"
    asked = nvidia_smi(tmp_path, answer, monkeypatch)
    assert gpu_throttles() == [
        "GPU 0: sw_thermal_slowdown",
        "GPU 1: hw_thermal_slowdown",
        "GPU 1: hw_power_brake_slowdown",
    ]
    assert "--query-gpu=index,clocks_event_reasons.hw_thermal_slowdown," in asked.read_text()


def test_a_driver_that_knows_the_older_name_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """case "$1" in
*clocks_event_reasons*) echo 'Field "clocks_event_reasons" is not a valid field to query.'; exit 2;;
*) echo '0, Active, Not Active, Not Active';;
esac"""
    nvidia_smi(tmp_path, script, monkeypatch)
    assert gpu_throttles() == ["GPU 0: hw_thermal_slowdown"]


@pytest.mark.parametrize("script", ["exit 9", "echo '0, [N/A], [N/A], [N/A]'", "echo"])
def test_a_tool_that_fails_or_does_not_know(
    tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(tmp_path, script, monkeypatch)
    assert gpu_throttles() == []

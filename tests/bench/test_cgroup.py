"""Control groups as the kernel's files tell of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from v2v_export.bench import cgroup

Files = Callable[[str, str, Mapping[str, str]], Path]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Makes this process's own list, and files of one name by group."""
    root, own = tmp_path / "cgroup", tmp_path / "own"
    root.mkdir()
    monkeypatch.setattr(cgroup, "_ROOT", root)
    monkeypatch.setattr(cgroup, "_OWN", own)

    def make(list_of_own: str, name: str, texts: Mapping[str, str]) -> Path:
        own.write_text(list_of_own)
        for place, text in texts.items():
            (root / place).mkdir(parents=True, exist_ok=True)
            (root / place / name).write_text(text)
        return root

    return make


@pytest.mark.parametrize(
    ("own", "groups"),
    [
        ("0::/pod/box\n", ["pod/box", "pod", "."]),
        ("0::/\n", ["."]),
        ("12:cpu,cpuacct:/old\n1:name=systemd:/old\n0::/new\n", ["new", "."]),
        ("12:cpu,cpuacct:/old\n", []),
    ],
)
def test_a_group_and_those_around_it(files: Files, own: str, groups: list[str]) -> None:
    """A line for each hierarchy of the first version, and one, number 0, for the second."""
    root = files(own, "cpu.max", {})
    assert cgroup.own_groups() == [root / place for place in groups]


def test_a_system_without_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_OWN", tmp_path / "none")
    assert (cgroup.own_groups(), cgroup.throttled_seconds(), cgroup.quota_cores()) == ([], 0.0, None)


@pytest.mark.parametrize(
    ("limits", "quota"),
    [
        ({"": "max 100000", "pod/box": "150000 100000"}, 1.5),
        ({"": "400000 100000", "pod/box": "max 100000"}, 4.0),
        ({"pod": "200000 100000", "pod/box": "300000 100000"}, 2.0),
        ({"pod/box": "max 100000"}, None),
        ({"pod/box": ""}, None),
        ({"else": "100000 100000"}, None),
        ({}, None),
    ],
)
def test_the_least_quota_of_a_group_and_of_those_around_it(
    files: Files, limits: dict[str, str], quota: float | None
) -> None:
    """As the kernel writes them: microseconds of each period, or no limit."""
    files("0::/pod/box\n", "cpu.max", limits)
    assert cgroup.quota_cores() == quota


def stat(throttled: int) -> str:
    return f"usage_usec 9\nnr_throttled 3\nthrottled_usec {throttled}\n"


@pytest.mark.parametrize(
    ("stats", "seconds"),
    [
        ({"pod/box": stat(1_500_000)}, 1.5),
        ({"pod": stat(250_000), "pod/box": stat(1_000_000)}, 1.25),
        ({"": "usage_usec 9\n", "pod/box": stat(500_000)}, 0.5),
        ({"else": stat(1_000_000)}, 0.0),
        ({}, 0.0),
    ],
)
def test_time_that_quotas_held_back(files: Files, stats: dict[str, str], seconds: float) -> None:
    """One around the group holds it back as well, and only its own file says so."""
    files("0::/pod/box\n", "cpu.stat", stats)
    assert cgroup.throttled_seconds() == seconds

"""Finding systems: strangers' ones, broken ones, misspelt ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from v2v_export import registry
from v2v_export.errors import RecipeError

pytestmark = pytest.mark.usefixtures("third_party")


def _install(site: Path, name: str, source: str) -> None:
    """An installed distribution: its module and its metadata, as pip would leave them."""
    (site / f"{name}.py").write_text(source)
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[v2v_export.systems]\n{name} = {name}:SYSTEM\n")


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, "falls_over", "raise OSError('no such library')\n")
    _install(tmp_path, "no_system", "SYSTEM = 3\n")
    _install(tmp_path, "misnamed", "from tiny_v2v import Tiny\nSYSTEM = Tiny()\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_ours_and_a_stranger_s_are_found() -> None:
    assert {"shortcut_v2v", "tiny"} <= set(registry.systems())
    assert registry.find_system("tiny").title == "Two convolutions and a memory"
    entry = next(entry for entry in registry.entries() if entry.name == "tiny")
    assert (entry.distribution, entry.module, entry.problem) == ("tiny-v2v 1.0", "tiny_v2v", "")


def test_broken_ones_stay_listed_with_the_reason(broken: None) -> None:
    problems = {entry.name: entry.problem for entry in registry.entries()}
    assert "no such library" in problems["falls_over"]
    assert "int" in problems["no_system"]
    assert '"tiny"' in problems["misnamed"]
    assert problems["tiny"] == ""
    assert "falls_over" not in registry.systems()
    with pytest.raises(RecipeError, match=r"E5011[\s\S]*falls_over 1.0[\s\S]*no such library"):
        registry.find_system("falls_over")


def test_a_broken_neighbour_is_no_hindrance(broken: None) -> None:
    assert registry.find_system("tiny").name == "tiny"


def test_a_misspelt_system() -> None:
    with pytest.raises(RecipeError, match=r"E5010[\s\S]*did you mean shortcut_v2v"):
        registry.find_system("shortcutv2v")


def test_the_code_of_a_system_is_all_of_its_package(site: Path, tmp_path: Path) -> None:
    package = tmp_path / "tiny_v2v"
    shutil.copytree(site / "tiny_v2v", package, ignore=shutil.ignore_patterns("__pycache__"))
    before = registry.tree_digest(package)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "model.pyc").write_bytes(b"compiled")
    assert registry.tree_digest(package) == before
    with (package / "model.py").open("a") as file:
        file.write("# a word\n")
    changed = registry.tree_digest(package)
    assert changed != before
    (package / "model.py").rename(package / "other.py")
    assert registry.tree_digest(package) not in (before, changed)


def test_a_system_in_one_file_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "from tiny_v2v import Tiny\nclass Lone(Tiny):\n    name = 'lone'\nSYSTEM = Lone()\n"
    _install(tmp_path, "lone", source)
    (tmp_path / "unrelated.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = registry.code_digest(registry.find_system("lone"))
    (tmp_path / "unrelated.py").write_text("x = 2\n")
    assert registry.code_digest(registry.find_system("lone")) == before
    (tmp_path / "lone.py").write_text(source + "# changed\n")
    assert registry.code_digest(registry.find_system("lone")) != before

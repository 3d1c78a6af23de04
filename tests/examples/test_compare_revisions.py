"""``compare-revisions.sh`` in a repository of two commits: worktrees, bundles and rounds are real ones.

Environments are stand-ins: making two with torch in each takes a network and half an hour.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.negative import write_negative
from support.recipes import small_shortcut

SCRIPT = Path(__file__).parents[2] / "examples" / "ci" / "compare-revisions.sh"
QUICK = [
    "--rounds",
    "12",
    "--cycles",
    "1",
    "--turn",
    "0.01",
    "--most-seconds",
    "1",
    "--fail",
    "99",
    "--least",
    "98",
]
RECIPE = small_shortcut(frames=2)

PYTHON = """#!/bin/sh
# Stands in for `python -m venv --clear FOLDER`.
[ "$1 $2 $3" = "-m venv --clear" ] || exit 9
rm -rf "$4" && mkdir -p "$4/bin"
cp "{here}/env-python" "$4/bin/python"
cp "{here}/env-tool" "$4/bin/v2v-export"
"""
ENV_PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m pip" ]; then
  cp requirements.txt "${{0%/bin/python}}/installed"
  echo install >> "{here}/log"
  exit
fi
echo "$0" >> "{here}/log"
exec "{python}" "$@"
"""
ENV_TOOL = """#!/bin/sh
exec "{python}" -c 'import sys; from v2v_export.cli import main; sys.exit(main())' "$@"
"""


class Repository:
    """A project with two commits, and how the script is run in it."""

    def __init__(self, root: Path) -> None:
        self.root, self.work, self.log = root / "my project", root / "kept here", root / "log"
        self.root.mkdir()
        for name, text in (("python", PYTHON), ("env-python", ENV_PYTHON), ("env-tool", ENV_TOOL)):
            (root / name).write_text(text.format(here=root, python=sys.executable))
            (root / name).chmod(0o755)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.base = self.commit("base", RECIPE)
        self.head = self.commit("head", RECIPE.replace("random:1", "random:2"))

    def git(self, *words: str) -> str:
        words = ("git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words)
        done = subprocess.run(words, cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message: str, recipe: str) -> str:
        (self.root / "v2v.toml").write_text(recipe)
        (self.root / "requirements.txt").write_text(f"# of {message}\n")
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", message)
        return self.git("rev-parse", "HEAD")

    def run(self, *words: str, **env: str) -> tuple[int, str, str]:
        known = {"WORK": str(self.work), "PYTHON": str(self.root.parent / "python")}
        cache = {"V2V_CACHE": str(self.root.parent / "cache")}
        done = subprocess.run(
            ["bash", str(SCRIPT), *words],
            cwd=self.root,
            env={**os.environ, **known, **cache, **env},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def logged(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_two_revisions_each_with_its_own_environment_and_bundle(repository: Repository) -> None:
    status, out, errors = repository.run("main~1", *QUICK, "--pictures-may-differ", "--json")
    assert status == 0, errors
    told: dict[str, Any] = json.loads(out)
    assert told["base"]["identity"] != told["head"]["identity"], "their weights differ"
    for side, name in ((repository.base, "base"), (repository.head, "head")):
        place = repository.work / side
        assert (place / "env" / "installed").read_text() == f"# of {name}\n"
        manifest = json.loads((place / "cpu.v2v" / "bundle.json").read_text())
        assert manifest["identity"] == told[name]["identity"]
        assert repository.logged().count(f"{place}/env/bin/python") >= 12, "a worker for every round"
    assert repository.git("status", "--porcelain") == ""

    before = repository.logged().count("install")
    status, out, errors = repository.run(repository.base, "main", *QUICK, "--pictures-may-differ", "--json")
    assert status == 0, errors
    assert repository.logged().count("install") == before == 2, "environments are kept by commit"
    assert json.loads(out)["head"]["identity"] == told["head"]["identity"]


def test_one_bundle_that_both_revisions_play(repository: Repository, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(10, 240, (3, 16, 24, 3), np.uint8)
    bundle = write_negative(tmp_path / "negative.v2v", pictures)
    status, out, errors = repository.run("main~1", *QUICK, "--json", BUNDLE=str(bundle))
    assert status == 0, errors
    told = json.loads(out)
    assert told["base"]["identity"] == told["head"]["identity"]
    assert not (repository.work / repository.base / "cpu.v2v").exists()
    assert {line for line in repository.logged() if line != "install"} == {
        f"{repository.work / side}/env/bin/python" for side in (repository.base, repository.head)
    }


def test_a_preparation_that_was_stopped_is_made_anew(repository: Repository, tmp_path: Path) -> None:
    half = repository.work / repository.base / "source"
    half.mkdir(parents=True)
    (half / "v2v.toml").write_text("half of it")
    pictures = np.zeros((2, 16, 24, 3), np.uint8)
    bundle = write_negative(tmp_path / "negative.v2v", pictures)
    status, _, errors = repository.run("main~1", *QUICK, BUNDLE=str(bundle))
    assert status == 0, errors
    assert (half / "v2v.toml").read_text() == RECIPE


def test_its_help_is_all_that_its_head_says(repository: Repository) -> None:
    status, out, _ = repository.run("--help")
    assert status == 0
    assert out.startswith("usage: compare-revisions.sh BASE [HEAD]")
    head = SCRIPT.read_text().partition("\nset -euo")[0]
    paragraphs = [line.removeprefix("#").strip() for line in head.split("\n")[4:]]
    assert [line.strip() for line in out.split("\n")[1:]] == [*paragraphs, ""]


def test_what_goes_wrong_before_a_comparison(repository: Repository) -> None:
    status, _, errors = repository.run("nowhere")
    assert (status, "no such revision: nowhere" in errors) == (2, True)
    for words in ((), ("--rounds", "20")):
        status, _, errors = repository.run(*words)
        assert (status, "usage: compare-revisions.sh BASE" in errors) == (2, True)
    broken = repository.commit("broken", RECIPE.replace("16", "17"))
    status, _, errors = repository.run("main~1", broken, *QUICK)
    assert status == 1
    assert "V2V-E" in errors

"""A third party's system, installed as a package of its own, and builds of it."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from v2v_export.build import BuildResult, build
from v2v_export.profiles import load_profile
from v2v_export.recipe import load_recipe
from v2v_export.store import Store

HERE = Path(__file__).parent

RECIPE = """\
name = "tiny"
system = "tiny"

[frame]
height = 16
width = 24

[weights]
net = "random:7"

[options]
channels = 16

[targets]
profiles = ["cpu"]

[verify]
frames = 5
"""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the third party's package is installed in, from a copy of its sources."""
    folder = tmp_path_factory.mktemp("third_party")
    shutil.copytree(HERE / "third_party", folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "--target", str(folder / "site"), str(folder / "source")]
    subprocess.run(command, check=True, timeout=120)
    return folder / "site"


@pytest.fixture(scope="session")
def third_party(site: Path) -> Iterator[None]:
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    yield
    sys.path.remove(str(site))


@pytest.fixture
def recipe_path(tmp_path: Path, third_party: None) -> Path:
    """A recipe of the third party's system, in a folder of its own."""
    path = tmp_path / "recipe" / "v2v.toml"
    path.parent.mkdir()
    path.write_text(RECIPE)
    return path


@dataclass(frozen=True)
class Warm:
    """A finished build of the recipe, its bundle, and the store that it filled."""

    bundle: Path
    store: Path
    result: BuildResult


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory, third_party: None) -> Warm:
    """The recipe, built once for all tests; tests copy what they change."""
    folder = tmp_path_factory.mktemp("warm")
    (folder / "v2v.toml").write_text(RECIPE)
    recipe = load_recipe(folder / "v2v.toml")
    out = folder / "tiny.v2v"
    result = build(recipe, out, [load_profile("cpu")], store=Store(folder / "store"), verify=False)
    return Warm(out, folder / "store", result)


@pytest.fixture
def warm_store(warm: Warm, tmp_path: Path) -> Store:
    """A copy of the filled store."""
    shutil.copytree(warm.store, tmp_path / "store")
    return Store(tmp_path / "store")


@pytest.fixture
def without(warm_store: Store) -> Callable[..., Path]:
    """A copy of the filled store without the entries of some stages: builds are quick until these."""

    def remove(*kinds: str) -> Path:
        for kind in kinds:
            shutil.rmtree(warm_store.root / kind)
        return warm_store.root.parent

    return remove


@pytest.fixture
def driver(site: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a build in a process of its own (see ``driver.py``); its output is one JSON object per line."""

    def start(*arguments: str, limit: int | None = None) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
        environment["TMPDIR"] = str(tmp_path)
        command = [sys.executable, str(HERE / "driver.py"), *arguments]
        if limit is not None:
            command += ["--limit", str(limit)]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start

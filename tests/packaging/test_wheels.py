"""Both distributions as wheels, in an environment without this checkout, used from outside the repository.

Other packages come from the environment that runs the tests, by path: what is proved is that the wheels hold
all that is ours, and that the runtime needs neither torch nor the exporter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs in ``folder`` without the checkout on the path; shows what was printed when it fails."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for source in (ROOT / "runtime", ROOT):
        run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder), str(source)],
            folder,
        )
    return {path.name.split("-")[0]: path for path in folder.glob("*.whl")}


def environment(folder: Path, wheels: list[Path], borrowed: bool) -> Path:
    """A virtual environment with our wheels; ``borrowed`` adds the other packages of this one by path."""
    run([sys.executable, "-m", "venv", str(folder)], folder.parent)
    python = folder / "bin" / "python"
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    run([str(python), *install, *map(str, wheels)], folder)
    site = next((folder / "lib").glob("python*/site-packages"))
    ours = sysconfig.get_path("purelib")
    if borrowed:
        # A plain path: the .pth files of editable installs in it are not read, so our checkout stays out.
        (site / "borrowed.pth").write_text(f"{ours}\n")
    else:
        numpy = [path for path in Path(ours).iterdir() if path.name.startswith("numpy")]
        for path in numpy:
            (site / path.name).symlink_to(path)
    return python


@pytest.fixture(scope="module")
def exporter(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("full") / "venv", list(wheels.values()), borrowed=True)


@pytest.fixture(scope="module")
def player(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("lean") / "venv", [wheels["v2v_runtime"]], borrowed=False)


def test_wheels_hold_data_and_types(wheels: dict[str, Path]) -> None:
    names = set(zipfile.ZipFile(wheels["v2v_export"]).namelist())
    profiles = {path.name for path in (ROOT / "exporter/v2v_export/profiles").glob("*.toml")}
    assert len(profiles) >= 16
    assert {f"v2v_export/profiles/{name}" for name in profiles} <= names
    assert {"v2v_export/py.typed", "v2v_plugins/py.typed", "v2v_plugins/ada_bd/schema.py"} <= names
    weights = {name for name in names if name.startswith("v2v_export/demo/weights/")}
    assert {Path(name).suffix for name in weights} >= {".safetensors"}
    runtime = set(zipfile.ZipFile(wheels["v2v_runtime"]).namelist())
    assert {"v2v_runtime/py.typed", "v2v_runtime/manifest/bundle.schema.json"} <= runtime
    assert not [name for name in names | runtime if name.startswith(("tests", "examples", "benchmarks"))]


def test_runtime_needs_numpy_alone(wheels: dict[str, Path]) -> None:
    archive = zipfile.ZipFile(wheels["v2v_runtime"])
    text = archive.read(next(name for name in archive.namelist() if name.endswith("METADATA"))).decode()
    needs = Parser().parsestr(text).get_all("Requires-Dist") or []
    assert [need for need in needs if "extra ==" not in need] == ["numpy<2.5,>=2.4.6"]
    assert {need.split(";")[0].split("==")[0].strip() for need in needs if "extra" in need} == {
        "onnxruntime",
        "onnxruntime-gpu",
        "av<19,>=18.1.0",
        "tokenizers<0.24,>=0.23.3",
    }


def test_runtime_imports_without_torch_onnx_or_the_exporter(player: Path, tmp_path: Path) -> None:
    code = (
        "import sys, v2v_runtime; from v2v_runtime import Bundle, Stream;"
        "names = ('torch', 'onnx', 'v2v_export', 'onnxruntime');"
        "print(v2v_runtime.__file__, [name for name in names if name in sys.modules])"
    )
    done = run([str(player), "-c", code], tmp_path)
    assert str(ROOT) not in done.stdout
    assert done.stdout.strip().endswith("[]")


def test_commands_work_from_outside_the_repository(exporter: Path, tmp_path: Path) -> None:
    where = run([str(exporter), "-c", "import v2v_export as e; print(e.__file__)"], tmp_path).stdout
    assert str(ROOT) not in where
    command = str(exporter.parent / "v2v-export")
    listed = json.loads(run([command, "profiles", "--json"], tmp_path).stdout)
    assert "rtx4090" in json.dumps(listed)
    assert "shortcut_v2v" in run([command, "systems", "--json"], tmp_path).stdout


@pytest.fixture(scope="module")
def bundle(exporter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small bundle, from the recipe that ``init`` writes, made outside the repository."""
    folder = tmp_path_factory.mktemp("project")
    command = str(exporter.parent / "v2v-export")
    run([command, "init", "shortcut_v2v"], folder)
    recipe = folder / "v2v.toml"
    text = recipe.read_text().replace("height = 256", "height = 32").replace("width = 512", "width = 48")
    recipe.write_text(text.replace("[options]", "[options]\nngf = 8\nn_blocks = 1"))
    built = [command, "build", "--gpu", "cpu", "--out", "small.v2v"]
    run(built, folder, V2V_CACHE=str(folder / "cache"))
    return folder / "small.v2v"


PLAY = """\
import sys, numpy, v2v_runtime as v
with v.Stream(v.Bundle.open(sys.argv[1])) as s:
    print([len(s.push(numpy.zeros((32, 48, 3), numpy.uint8))) for _ in range(5)])
"""


def test_a_recipe_builds_and_plays_from_outside_the_repository(exporter: Path, bundle: Path) -> None:
    done = run([str(exporter), "-c", PLAY, str(bundle)], bundle.parent)
    assert done.stdout.strip() == "[1, 1, 1, 1, 1]"


def test_a_player_without_a_backend_says_which_extra_to_install(player: Path, bundle: Path) -> None:
    done = subprocess.run(
        [str(player), "-c", PLAY, str(bundle)], cwd=bundle.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "V2V-E4" in done.stderr
    assert "v2v-runtime[cpu]" in done.stderr

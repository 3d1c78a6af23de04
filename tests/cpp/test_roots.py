"""Configured with ``ONNXRUNTIME_ROOT`` or ``NLOHMANN_JSON_ROOT``: nothing is fetched that they give; a build
that is there takes them too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "runtime" / "cpp"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Debian archive is known."""
    program = tmp_path / "programs" / "apt-get"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent) + os.pathsep + os.environ["PATH"])
    monkeypatch.delenv("V2V_DEBIAN_MIRROR", raising=False)
    for root in ("ONNXRUNTIME_ROOT", "NLOHMANN_JSON_ROOT"):
        monkeypatch.delenv(root, raising=False)


@pytest.fixture
def headers(cmake_cache: dict[str, str], cpp_build: Path) -> dict[str, Path]:
    """Package -> the folder of its headers that the build took."""
    roots = {"onnxruntime": "ONNXRUNTIME_ROOT", "nlohmann-json": "NLOHMANN_JSON_ROOT"}
    found = {name: next((cpp_build / "headers").glob(f"{name}-*"), None) for name in roots}
    if None in found.values():
        pytest.skip(f"the build has headers from elsewhere: {[cmake_cache.get(r) for r in roots.values()]}")
    return {name: path for name, path in found.items() if path is not None}


def configured(configure: list[str], build: Path, *roots: str) -> subprocess.CompletedProcess[str]:
    command = [*configure, "-S", SOURCE, "-B", build, f"-DPython3_EXECUTABLE={sys.executable}", *roots]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.usefixtures("offline")
def test_a_release_of_onnx_runtime_is_taken_and_its_package_is_not_fetched(
    configure: list[str], cpp_build: Path, headers: dict[str, Path], tmp_path: Path
) -> None:
    """As an unpacked release has it: ``include`` and ``lib``. JSON has been fetched before."""
    root, build = tmp_path / "release", tmp_path / "build"
    (root / "lib").mkdir(parents=True)
    (root / "include").symlink_to(headers["onnxruntime"])
    library = cpp_build / "onnxruntime" / "libonnxruntime.so.1"
    (root / "lib" / "libonnxruntime.so").symlink_to(library.resolve())
    (build / "headers").mkdir(parents=True)
    (build / "headers" / headers["nlohmann-json"].name).symlink_to(headers["nlohmann-json"])
    done = configured(configure, build, f"-DONNXRUNTIME_ROOT={root}")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (build / "headers").iterdir()] == [headers["nlohmann-json"].name]
    commands = (build / "compile_commands.json").read_text("utf-8")
    assert f"{root}/include" in commands
    assert str(build / "headers" / headers["nlohmann-json"].name) in commands


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("named", ["variable", "environment"])
def test_headers_of_json_that_are_named_are_taken_and_not_fetched(
    named: str,
    configure: list[str],
    headers: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build = tmp_path / "build"
    (build / "headers").mkdir(parents=True)
    (build / "headers" / headers["onnxruntime"].name).symlink_to(headers["onnxruntime"])
    root = str(headers["nlohmann-json"])
    if named == "environment":
        monkeypatch.setenv("NLOHMANN_JSON_ROOT", root)
    done = configured(configure, build, *([f"-DNLOHMANN_JSON_ROOT={root}"] if named == "variable" else []))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (build / "headers").iterdir()] == [headers["onnxruntime"].name]
    assert str(headers["nlohmann-json"]) in (build / "compile_commands.json").read_text("utf-8")


@pytest.mark.usefixtures("offline")
def test_what_is_neither_named_nor_there_is_asked_for(
    configure: list[str], headers: dict[str, Path], tmp_path: Path
) -> None:
    done = configured(configure, tmp_path / "build", f"-DNLOHMANN_JSON_ROOT={headers['nlohmann-json']}")
    assert done.returncode != 0
    assert "no Debian archive is known" in done.stderr
    assert "libonnxruntime-dev" in done.stderr
    assert "nlohmann" not in done.stderr.split("is needed")[0]


@pytest.mark.parametrize(
    "root", ["ONNXRUNTIME_ROOT", "NLOHMANN_JSON_ROOT", "TENSORRT_ROOT", "CUDAToolkit_ROOT"]
)
@pytest.mark.parametrize("target", ["cpp-build", "cpp-asan"])
def test_make_hands_on_what_is_set_whatever_was_built_before(target: str, root: str) -> None:
    """CMake keeps what it was given first, so it is given each again."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("no make")
    done = subprocess.run(
        [make, "-n", target],
        cwd=REPOSITORY,
        env={**os.environ, root: "/opt/somewhere"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    (line,) = [
        line for line in done.stdout.replace("\\\n", "").splitlines() if f"-D{root}=/opt/somewhere" in line
    ]
    assert "build.ninja" not in line

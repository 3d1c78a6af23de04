"""What is installed can be used: by CMake's find_package and by pkg-config."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.cpp import Library

EXAMPLES = Path(__file__).parents[2] / "examples" / "cpp"
EXAMPLE = EXAMPLES / "minimal.c"
PROJECT = f"""cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES C CXX)
find_package(v2v_runtime 0.1 REQUIRED)
add_executable(app {EXAMPLE})
target_link_libraries(app PRIVATE v2v::v2v_runtime)
add_executable(player {EXAMPLES}/play.cpp)
target_link_libraries(player PRIVATE v2v::v2v_runtime)
"""


@pytest.fixture(scope="module")
def installed(
    cmake: str, cpp_build: Path, library: Library, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    prefix = tmp_path_factory.mktemp("installed")
    subprocess.run([cmake, "--install", cpp_build, "--prefix", prefix], check=True, capture_output=True)
    return prefix


def usage(program: Path, cpp_build: Path) -> str:
    """What the example says without arguments; the loader finds ONNX Runtime where the build has it."""
    paths = os.pathsep.join([str(cpp_build / "onnxruntime"), str(cpp_build)])
    done = subprocess.run(
        [program], env={**os.environ, "LD_LIBRARY_PATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_find_package(
    cmake: str, configure: list[str], installed: Path, cpp_build: Path, tmp_path: Path
) -> None:
    (tmp_path / "CMakeLists.txt").write_text(PROJECT, "utf-8")
    build = tmp_path / "build"
    named = ["-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={installed}"]
    for command in ([*configure, *named], [cmake, "--build", build]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert usage(build / "app", cpp_build).startswith("usage: minimal")
    assert usage(build / "player", cpp_build).startswith("usage: play")


def test_pkg_config(cmake_cache: dict[str, str], installed: Path, cpp_build: Path, tmp_path: Path) -> None:
    tool = shutil.which("pkg-config")
    if tool is None:
        pytest.skip("no pkg-config on the path")
    (file,) = installed.rglob("v2v_runtime.pc")
    asked = subprocess.run(
        [tool, "--cflags", "--libs", "v2v_runtime"],
        env={**os.environ, "PKG_CONFIG_PATH": str(file.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    compiler = cmake_cache["CMAKE_C_COMPILER"]
    command = [compiler, "-std=c99", EXAMPLE, "-o", tmp_path / "app", *asked.stdout.split()]
    subprocess.run(command, check=True)
    assert usage(tmp_path / "app", cpp_build).startswith("usage: minimal")

"""What the release preset installs is found by find_package and by pkg-config, and plays as the tests do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# The fixture `installed` compiles the whole library, at -O3.
pytestmark = pytest.mark.timeout(1200)

CPP = Path(__file__).parents[2] / "runtime" / "cpp"
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


def checked(command: list[object], folder: Path = CPP) -> None:
    """Runs a command in ``folder`` that must end with 0."""
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


@pytest.fixture(scope="module")
def installed(
    cmake: str,
    cmake_cache: dict[str, str],
    cpp_build: Path,
    sanitizers: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The prefix where the release preset was installed; no other test builds with its flags."""
    if sanitizers:
        pytest.skip(f"{sanitizers}: the release preset has no sanitizer")
    folder = tmp_path_factory.mktemp("release")
    build, prefix = folder / "build", folder / "installed"
    if (cpp_build / "headers").is_dir():  # not to be fetched again
        shutil.copytree(cpp_build / "headers", build / "headers")
    tools = ("CMAKE_MAKE_PROGRAM", "CMAKE_C_COMPILER", "CMAKE_CXX_COMPILER")
    same = (*tools, "ONNXRUNTIME_ROOT", "NLOHMANN_JSON_ROOT")
    given = [f"-DPython3_EXECUTABLE={sys.executable}", *(f"-D{name}={cmake_cache[name]}" for name in same)]
    checked([cmake, "--preset", "release", "-B", build, *given])
    checked([cmake, "--build", build, "--parallel", 2])
    checked([cmake, "--install", build, "--prefix", prefix])
    return prefix


def environment(installed: Path, cpp_build: Path) -> dict[str, str]:
    """Where the loader finds the installed library, and ONNX Runtime where the build has it."""
    (library,) = installed.rglob("libv2v_runtime.so")
    paths = os.pathsep.join([str(library.parent), str(cpp_build / "onnxruntime")])
    return {**os.environ, "LD_LIBRARY_PATH": paths}


def usage(program: Path, variables: dict[str, str]) -> str:
    """What the example says without arguments."""
    done = subprocess.run([program], env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_find_package(
    cmake: str, configure: list[str], installed: Path, cpp_build: Path, bundles, tmp_path: Path
) -> None:
    """The examples, built over it, give the bytes that they give over the library that is tested."""
    (tmp_path / "CMakeLists.txt").write_text(PROJECT, "utf-8")
    build = tmp_path / "build"
    checked([*configure, "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={installed}"])
    checked([cmake, "--build", build])
    variables = environment(installed, cpp_build)
    assert usage(build / "app", variables).startswith("usage: minimal")
    assert usage(build / "player", variables).startswith("usage: play")

    clip = np.random.default_rng(2).integers(0, 250, (20, 2, 4, 3), dtype=np.uint8).tobytes()
    shown = [
        subprocess.run(
            [program, bundles("live2diff").root], env=given, input=clip, capture_output=True, check=True
        ).stdout
        for program, given in ((build / "app", variables), (cpp_build / "minimal", dict(os.environ)))
    ]
    assert len(shown[0]) == len(clip)
    assert shown[0] == shown[1]


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
    assert usage(tmp_path / "app", environment(installed, cpp_build)).startswith("usage: minimal")

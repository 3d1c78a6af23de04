"""The C++ runtime's test programs, driven from here.

``make cpp`` and ``make test`` build them and say where they lie in ``V2V_CPP_BUILD``; without it these tests
are left out, because nothing says that what may lie in a build folder is of this source.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from conformance.programs import PROGRAMS
from support.cpp import Library
from support.standins import build_standin
from v2v_runtime.bundle import Bundle

CUDART = Path(__file__).parents[1] / "runtime" / "backends" / "cudart_standin.c"

#: The test ``cpp_in_python`` of CMakeLists.txt starts Python with AddressSanitizer's library before others.
PYTHON_HAS_ASAN = "libasan" in os.environ.get("LD_PRELOAD", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With that library in Python: the tests that load the C++ runtime, which no other run of them can."""
    if PYTHON_HAS_ASAN:
        items[:] = [item for item in items if "library" in getattr(item, "fixturenames", ())]


@pytest.fixture(scope="session")
def cpp_build() -> Path:
    named = os.environ.get("V2V_CPP_BUILD")
    if named is None:
        pytest.skip("V2V_CPP_BUILD is not set: run `make cpp`")
    build = Path(named).resolve()
    assert (build / "v2v_driver").is_file(), f"{build} holds no v2v_driver"
    return build


@pytest.fixture(scope="session")
def cmake_cache(cpp_build: Path) -> dict[str, str]:
    """What the build was configured with: the variables of its ``CMakeCache.txt``."""
    text = (cpp_build / "CMakeCache.txt").read_text("utf-8")
    return dict(re.findall(r"^([\w-]+):[A-Z]+=(.*)$", text, re.MULTILINE))


@pytest.fixture(scope="session")
def cmake(cmake_cache: dict[str, str]) -> str:
    """The program that configured the build, which need not be on the path: a wheel may have brought it."""
    return cmake_cache["CMAKE_COMMAND"]


@pytest.fixture(scope="session")
def configure(cmake: str, cmake_cache: dict[str, str]) -> list[str]:
    """The command that configures another build with the same tools."""
    tools = ("CMAKE_MAKE_PROGRAM", "CMAKE_C_COMPILER", "CMAKE_CXX_COMPILER")
    return [cmake, "-G", cmake_cache["CMAKE_GENERATOR"], *(f"-D{name}={cmake_cache[name]}" for name in tools)]


@pytest.fixture(scope="session")
def cudart(cmake_cache: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CUDA's runtime library, whose copies happen when their stream is waited for."""
    built = tmp_path_factory.mktemp("cudart") / "libcudart.so.13"
    return build_standin(cmake_cache["CMAKE_C_COMPILER"], CUDART, built)


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of the test's own for what is trusted and for compiled kernels, the latter not made yet."""
    monkeypatch.setenv("V2V_TRUST", str(tmp_path / "trust"))
    monkeypatch.setenv("V2V_JIT_CACHE", str(tmp_path / "jit" / "below"))


class Driver:
    """Answers of ``v2v_driver`` to lines of commands."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def ask(self, commands: Iterable[str]) -> list[dict[str, Any]]:
        text = "".join(f"{command}\n" for command in commands)
        done = subprocess.run(
            [self._program], input=text.encode(), capture_output=True, check=False, timeout=240
        )
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def driver(cpp_build: Path) -> Driver:
    return Driver(cpp_build / "v2v_driver")


@pytest.fixture(scope="session")
def sanitizers(cmake_cache: dict[str, str]) -> str:
    """Those that the programs were built with; empty: none."""
    return cmake_cache["V2V_SANITIZE"]


@pytest.fixture(scope="session")
def library(cpp_build: Path, sanitizers: str) -> Library:
    if sanitizers and not PYTHON_HAS_ASAN:
        pytest.skip(f"{sanitizers}: Python runs without the sanitizer's library")
    return Library(cpp_build / "libv2v_runtime.so")


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """Bundles of the synthetic programs by name, written once."""
    made: dict[str, Bundle] = {}

    def write(name: str) -> Bundle:
        if name not in made:
            made[name] = PROGRAMS[name]().write(tmp_path_factory.mktemp("bundles") / name)
        return made[name]

    return write

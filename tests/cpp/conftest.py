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
from v2v_runtime.bundle import Bundle


@pytest.fixture(scope="session")
def cpp_build() -> Path:
    named = os.environ.get("V2V_CPP_BUILD")
    if named is None:
        pytest.skip("V2V_CPP_BUILD is not set: run `make cpp`")
    build = Path(named).resolve()
    assert (build / "v2v_driver").is_file(), f"{build} holds no v2v_driver"
    return build


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
def sanitizers(cpp_build: Path) -> str:
    """Those that the programs were built with; empty: none."""
    found = re.search(
        r"^V2V_SANITIZE:\w+=(.*)$", (cpp_build / "CMakeCache.txt").read_text("utf-8"), re.MULTILINE
    )
    return "" if found is None else found[1]


@pytest.fixture(scope="session")
def library(cpp_build: Path, sanitizers: str) -> Library:
    if sanitizers:
        pytest.skip(f"{sanitizers}: sanitizers are for whole programs, and this one is Python")
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

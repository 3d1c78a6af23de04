"""A program that was compiled against another header than the library's is refused, in words."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

HEADERS = Path(__file__).parents[2] / "runtime" / "cpp" / "include" / "v2v"
PROGRAM = r"""
#include <cstdio>

#include <v2v/v2v.hpp>

int main() {
  try {
    v2v::Bundle bundle("nowhere.v2v");
  } catch (const v2v::Error& error) {
    std::printf("%d %s\n", static_cast<int>(error.status()), error.what());
    return 0;
  }
  return 1;
}
"""


def test_an_error_of_another_size_has_its_status_and_words(
    cmake_cache: dict[str, str], cpp_build: Path, sanitizers: str, tmp_path: Path
) -> None:
    """The library cannot write into a v2v_error that it does not know."""
    if sanitizers:
        pytest.skip(f"{sanitizers}: a program without it cannot load the library")
    headers = tmp_path / "v2v"
    headers.mkdir()
    (headers / "v2v.hpp").write_bytes((HEADERS / "v2v.hpp").read_bytes())
    text = (HEADERS / "v2v.h").read_text("utf-8")
    assert text.count("char message[2040];") == 1
    (headers / "v2v.h").write_text(text.replace("char message[2040];", "char message[1000];"), "utf-8")
    source, program = tmp_path / "app.cpp", tmp_path / "app"
    source.write_text(PROGRAM)
    options = ["-std=c++20", "-I", tmp_path, f"-Wl,-rpath,{cpp_build}", "-Wl,--allow-shlib-undefined"]
    compiler, library = cmake_cache["CMAKE_CXX_COMPILER"], cpp_build / "libv2v_runtime.so"
    command = [compiler, *options, source, library, "-o", program]
    subprocess.run(command, check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3102 [V2V-E3102] ")
    assert "header" in done.stdout

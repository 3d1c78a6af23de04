"""The library of ONNX Runtime that is found when a program runs need not be the one of the build.

Its telemetry is off from the moment that it is loaded.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.telemetry import Left, left_by

SOURCE = Path(__file__).with_name("onnxruntime_standin.c")


@pytest.fixture
def old(cmake_cache: dict[str, str], sanitizers: str, tmp_path: Path) -> Path:
    """The folder of a library of 1.9.0, whose symbols have that version, as those of releases have theirs."""
    if sanitizers:
        pytest.skip(f"{sanitizers}: a program with it does not look for libraries elsewhere")
    (tmp_path / "versions").write_text("VERS_1.9.0 { global: OrtGetApiBase; local: *; };\n")
    options = ["-std=c11", "-shared", "-fPIC", "-Wall", "-Werror", "-Wl,-soname,libonnxruntime.so.1"]
    script = f"-Wl,--version-script={tmp_path / 'versions'}"
    library = tmp_path / "old" / "libonnxruntime.so.1"
    library.parent.mkdir()
    subprocess.run([cmake_cache["CMAKE_C_COMPILER"], *options, script, "-o", library, SOURCE], check=True)
    return library.parent


PLAYING = """
import json, sys
from pathlib import Path
import numpy as np
from support.cpp import CppStream, Library

library = Library(Path(sys.argv[1]))
bundle = library.open(Path(sys.argv[2]))
stream = CppStream(library, bundle, options=json.dumps({"threads": 1}))
shown = [len(stream.push(np.full((2, 4, 3), 7, np.uint8))) for _ in range(2)]
assert shown == [1, 1], shown
"""


def refused(cpp_build: Path, root: Path, folder: Path, **environment: str) -> str:
    """What a program says that finds ONNX Runtime in ``folder``."""
    done = subprocess.run(
        [cpp_build / "minimal", root],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder), **environment},
        input=b"",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    return done.stderr.decode()


def test_an_older_library_is_told_by_its_version(old: Path, cpp_build: Path, bundles) -> None:
    """The loader takes it, whatever release the build saw; the library says which API it lacks."""
    words = refused(cpp_build, bundles("std").root, old)
    assert "[V2V-E4002] this ONNX Runtime is 1.9.0" in words
    assert "or newer" in words


def test_what_cannot_be_loaded_is_told(cpp_build: Path, sanitizers: str, bundles, tmp_path: Path) -> None:
    if sanitizers:
        pytest.skip(f"{sanitizers}: a program with it does not look for libraries elsewhere")
    (tmp_path / "libonnxruntime.so.1").write_bytes(b"no library at all")
    words = refused(cpp_build, bundles("std").root, tmp_path)
    assert "[V2V-E4002] ONNX Runtime cannot be loaded" in words
    assert "libonnxruntime.so.1" in words


def test_nothing_ties_the_library_to_one_release(cpp_build: Path) -> None:
    done = subprocess.run(
        ["readelf", "-V", cpp_build / "libv2v_runtime.so"], capture_output=True, text=True, check=True
    )
    assert "GLIBC" in done.stdout
    assert "VERS_" not in done.stdout


def test_a_stream_leaves_nothing_behind_and_has_no_other_thread(
    cpp_build: Path, sanitizers: str, bundles, tmp_path: Path
) -> None:
    if sanitizers:
        pytest.skip(f"{sanitizers}: Python runs without the sanitizer's library")
    library, root = cpp_build / "libv2v_runtime.so", bundles("std").root
    assert left_by(PLAYING, library, root, home=tmp_path / "home") == Left(1, "1", [])


def test_telemetry_is_off_before_the_library_is_loaded(
    old: Path, cpp_build: Path, bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    root = bundles("std").root
    assert "ORT_DISABLE_TELEMETRY=1\n" in refused(cpp_build, root, old)
    assert "ORT_DISABLE_TELEMETRY=0\n" in refused(cpp_build, root, old, ORT_DISABLE_TELEMETRY="0")

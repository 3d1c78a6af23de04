"""Late calls where the system gives no thread: they have failed, with words, and the next ones get theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.standins import build_standin

SOURCE = Path(__file__).with_name("pthread_standin.c")

REFUSED = 4
"""The frame whose step has the first late call of shortcut_v2v: step 2 of the phase after the first frame."""

PLAYING = f"""
import json, os, sys
from pathlib import Path
import numpy as np
from support.cpp import CppError, CppStream, Library

library = Library(Path(sys.argv[1]))
bundle = library.open(Path(sys.argv[2]))
stream = CppStream(library, bundle, options=json.dumps({{"threads": 1}}))
told = []
for value in range(1, 10):
    os.environ["THREADS"] = "none" if value == {REFUSED} else "some"
    try:
        told.append(len(stream.push(np.full((2, 4, 3), value, np.uint8))))
    except CppError as error:
        told.append(str(error))
print(json.dumps({{"told": told, "failed": stream.counters()["failed"]}}))
stream.close()
"""


def test_where_there_is_no_thread_the_late_calls_failed(
    cpp_build: Path, cmake_cache: dict[str, str], sanitizers: str, bundles, tmp_path: Path
) -> None:
    if sanitizers:
        pytest.skip(f"{sanitizers}: the sanitizer makes the library's threads")
    standin = build_standin(cmake_cache["CMAKE_C_COMPILER"], SOURCE, tmp_path / "pthread.so")
    root = bundles("shortcut_v2v-shortcut").root
    done = subprocess.run(
        [sys.executable, "-c", PLAYING, cpp_build / "libv2v_runtime.so", root],
        env={**os.environ, "LD_PRELOAD": str(standin), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    words = found["told"].pop(REFUSED)
    assert words.startswith(
        "[V2V-E3024] the late calls of phase 'stream', step 2, failed: [V2V-E3105] no thread"
    )
    assert "Resource temporarily unavailable" in words
    assert "inline" in words
    assert found == {"told": [1] * 8, "failed": 1}

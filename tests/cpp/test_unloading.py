"""A program that lets the library go while a stream of it is open: the library stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLAYING = """
import _ctypes, json, sys
from pathlib import Path
import numpy as np
from support.cpp import CppStream, Library

library = Library(Path(sys.argv[1]))
bundle = library.open(Path(sys.argv[2]))
stream = CppStream(library, bundle, options=json.dumps({"threads": 1}))
picture = np.full((2, 4, 3), 7, np.uint8)
shown = [len(stream.push(picture)) for _ in range(5)]
_ctypes.dlclose(library.functions._handle)
shown += [len(stream.push(picture)) for _ in range(5)]
stream.close()
print(json.dumps(shown))
"""


def test_a_stream_outlives_dlclose(cpp_build: Path, sanitizers: str, bundles) -> None:
    """Its late thread, made for the fourth frame, goes on in the library's code."""
    if sanitizers:
        pytest.skip(f"{sanitizers}: the sanitizer keeps what a program has loaded")
    root = bundles("shortcut_v2v-shortcut").root
    done = subprocess.run(
        [sys.executable, "-c", PLAYING, cpp_build / "libv2v_runtime.so", root],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1] * 10

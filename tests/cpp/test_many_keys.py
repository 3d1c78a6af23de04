"""A call with more sets of buffers than bound runs: the oldest is bound anew, and nothing is allocated."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support.both import Both
from support.cpp import Library
from support.rings import expected, frame, rings
from v2v_runtime.bundle import Bundle

FRAMES = 1056 + 1056 + 10


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return rings().write(tmp_path_factory.mktemp("rings") / "bundle")


def test_no_frame_allocates(cpp_build: Path, bundle: Bundle) -> None:
    command = [cpp_build / "v2v_stress", "steady", bundle.root, "1100"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout) == {"allocations": 0, "frames": 1100}


def test_every_frame_is_right(library: Library, bundle: Bundle) -> None:
    both = Both(library, bundle)
    for index in range(FRAMES):
        answer = both.push(frame(index))
        assert answer is not None
        np.testing.assert_array_equal(answer[1][0].rgb8, expected(index))
    assert both.python.counters.bindings == FRAMES  # FIFO: when one is wanted again it has just made room
    both.close()

"""The examples tell what they could not read; an input that fails is no input that ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

FRAMES = 12


@pytest.mark.parametrize("example", ["play", "minimal"])
def test_an_input_that_cannot_be_read_is_told(example: str, cpp_build: Path, bundles, tmp_path: Path) -> None:
    """A folder can be opened but not read."""
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        done = subprocess.run(
            [cpp_build / example, bundles("std").root],
            stdin=folder,
            capture_output=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(folder)
    assert done.returncode == 1
    assert b"the input: Is a directory" in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize("example", ["play", "minimal"])
def test_an_input_that_was_opened_for_writing_is_told(
    example: str, cpp_build: Path, bundles, tmp_path: Path
) -> None:
    with open(tmp_path / "input", "wb") as unreadable:
        done = subprocess.run(
            [cpp_build / example, bundles("std").root],
            stdin=unreadable,
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert b"the input: Bad file descriptor" in done.stderr


def test_a_frame_that_is_cut_is_told_and_the_others_are_played(cpp_build: Path, bundles) -> None:
    clip = np.random.default_rng(1).integers(0, 250, (FRAMES, 2, 4, 3), dtype=np.uint8).tobytes()
    command = [cpp_build / "play", bundles("live2diff").root]
    whole = subprocess.run(command, input=clip, capture_output=True, check=True, timeout=60)
    assert len(whole.stdout) == len(clip)
    cut = subprocess.run(command, input=clip + b"more", capture_output=True, check=False, timeout=60)
    assert cut.returncode == 1
    assert cut.stdout == whole.stdout
    assert b"the last frame has 4 of 24 bytes" in cut.stderr

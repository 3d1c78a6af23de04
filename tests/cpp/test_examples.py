"""The examples tell what they could not read; an input that fails is no input that ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FRAMES = 12
IN_PYTHON = Path(__file__).parents[2] / "examples" / "cpp" / "play.py"


@pytest.fixture(params=["play", "minimal", "play.py"])
def example(request: pytest.FixtureRequest, cpp_build: Path) -> list[Path | str]:
    """The command that one of the three is started with, before its bundle."""
    return [sys.executable, IN_PYTHON] if request.param == "play.py" else [cpp_build / request.param]


@pytest.mark.parametrize("program", ["play", "minimal"])
def test_an_input_that_cannot_be_read_is_told(program: str, cpp_build: Path, bundles, tmp_path: Path) -> None:
    """A folder can be opened but not read. (Python itself does not start with such an input.)"""
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        done = subprocess.run(
            [cpp_build / program, bundles("std").root],
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


@pytest.mark.parametrize("program", ["play", "minimal"])
def test_an_input_that_was_opened_for_writing_is_told(
    program: str, cpp_build: Path, bundles, tmp_path: Path
) -> None:
    with open(tmp_path / "input", "wb") as unreadable:
        done = subprocess.run(
            [cpp_build / program, bundles("std").root],
            stdin=unreadable,
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert b"the input: Bad file descriptor" in done.stderr


def test_a_frame_that_is_cut_is_told_and_the_others_are_played(example: list[Path | str], bundles) -> None:
    clip = np.random.default_rng(1).integers(0, 250, (FRAMES, 2, 4, 3), dtype=np.uint8).tobytes()
    command = [*example, bundles("live2diff").root]
    whole = subprocess.run(command, input=clip, capture_output=True, check=True, timeout=60)
    assert len(whole.stdout) == len(clip)
    cut = subprocess.run(command, input=clip + b"more", capture_output=True, check=False, timeout=60)
    assert cut.returncode == 1
    assert cut.stdout == whole.stdout
    assert b"the last frame has 4 of 24 bytes" in cut.stderr


@pytest.mark.timeout(60)
def test_a_frame_comes_out_while_the_input_is_open(example: list[Path | str], bundles) -> None:
    """In a live pipe nobody waits for the next frame to see the last one: here none follows the first."""
    command = [*example, bundles("shortcut_v2v-shortcut").root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(bytes(24))
        running.stdin.flush()
        assert len(running.stdout.read(24)) == 24
        running.stdin.close()
        assert running.stdout.read() == b""
    assert running.returncode == 0


def test_an_example_without_a_bundle_says_how_it_is_used(example: list[Path | str]) -> None:
    done = subprocess.run(example, input=b"", capture_output=True, check=False, timeout=60)
    assert done.returncode == 2
    assert b"usage: " in done.stderr


def test_a_bundle_that_is_not_there_is_told_in_words(example: list[Path | str], tmp_path: Path) -> None:
    command = [*example, tmp_path / "none"]
    done = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert b"[V2V-E1001]" in done.stderr
    assert b"Traceback" not in done.stderr

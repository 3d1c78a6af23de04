"""Costs and limits: allocations per frame, failing allocations, memory that comes back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from support.cpp_programs import run
from support.selftests import bundle_with_selftest


@pytest.mark.parametrize("mode", ["steady", "timed"])
@pytest.mark.parametrize("name", list(PROGRAMS))
def test_no_frame_allocates_after_the_warm_up(name: str, mode: str, cpp_build: Path, bundles) -> None:
    assert run(cpp_build / "v2v_stress", mode, bundles(name).root, 120)["allocations"] == 0


@pytest.mark.parametrize("name", ["std", "streamv2v"])
def test_the_machine_alone_allocates_nothing(name: str, cpp_build: Path, bundles) -> None:
    assert run(cpp_build / "v2v_machine", bundles(name).root, 200)["allocations"] == 0


@pytest.mark.timeout(1000)
@pytest.mark.parametrize(
    ("name", "arguments", "param", "codes"),
    [
        ("shortcut_v2v-shortcut", ("first", "keeps", "whole"), (), {"3104", "4013", "3024"}),
        ("stream_diffusion", ("stream", "keeps", "stream"), ("guidance", 1), {"3104", "4013"}),
        ("live2diff", ("warmup", "loads", "stream"), (), {"3104", "4013"}),
    ],
    ids=["late", "params", "phases"],
)
def test_every_allocation_may_fail(
    name: str,
    arguments: tuple[str, ...],
    param: tuple[Any, ...],
    codes: set[str],
    cpp_build: Path,
    sanitizers: str,
    tmp_path: Path,
) -> None:
    """No memory: for whatever it was (3104), for a tensor (4013), met by the late part of a step (3024).

    Sanitizers make each of the runs, one for each allocation that fails, up to ten times as long: with them
    every 5th fails, but each tensor and each allocation of late calls.
    """
    root = bundle_with_selftest(tmp_path / "bundle", name, count=4).root
    step = 5 if sanitizers else 1
    found = run(cpp_build / "v2v_failing", root, *arguments, step, *param, timeout=900)
    assert set(found["codes"]) == codes
    failed = found["failed"]
    assert failed["plain"] > 1500 / step
    assert failed["tensor"] > 10
    assert (failed["late"] > 0) == ("3024" in codes)
    assert sum(found["codes"].values()) == sum(failed.values())


def test_memory_comes_back(cpp_build: Path, bundles, sanitizers: str) -> None:
    """1000 bundles, or 10 000 streams, may leave 8 MB behind: each bundle and each stream its share of that.

    It is held for what is taken from malloc, to the byte: resident memory comes and goes in pages and arenas,
    which only the long run outweighs (``make bench-memory``).
    """
    if sanitizers:
        pytest.skip(f"{sanitizers}: sanitizers keep memory that was given back")
    opens, streams = 100, 200
    found = run(cpp_build / "v2v_stress", "memory", bundles("shortcut_v2v-shortcut").root, opens, streams)
    assert (found["opens"], found["streams"]) == (opens, streams)
    assert found["opens_kept"] < 8 * 2**20 * opens / 1000
    assert found["streams_kept"] < 8 * 2**20 * streams / 10_000


def test_the_examples_give_the_same_bytes(cpp_build: Path, bundles) -> None:
    root = bundles("live2diff").root
    clip = np.random.default_rng(1).integers(0, 250, (20, 2, 4, 3), dtype=np.uint8).tobytes()
    python = Path(__file__).parents[2] / "examples" / "cpp" / "play.py"
    outputs = []
    for command in ([cpp_build / "play"], [cpp_build / "minimal"], [sys.executable, python]):
        done = subprocess.run([*command, root], input=clip, capture_output=True, check=True, timeout=120)
        outputs.append(done.stdout)
    assert len(outputs[0]) == len(clip)
    assert outputs[1] == outputs[0]
    assert outputs[2] == outputs[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("example", ["play", "minimal"])
def test_an_example_whose_output_is_lost_fails(example: str, cpp_build: Path, bundles) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [cpp_build / example, bundles("std").root],
            input=bytes(24),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert b"No space left" in done.stderr

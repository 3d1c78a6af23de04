"""Streams and threads: side by side, two threads on one, and one that ends while another thread calls it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.cpp_programs import run

BUNDLES = ["shortcut_v2v-shortcut", "stream_diffusion"]
HEADER = Path(__file__).parents[2] / "runtime" / "cpp" / "include" / "v2v" / "v2v.h"


def calls_of_a_stream() -> set[str]:
    """The functions of the header whose first argument is a stream, without their prefix."""
    found = set(re.findall(r"\bv2v_stream_(\w+)\(v2v_stream\* ", HEADER.read_text("utf-8")))
    assert "push" in found
    return found


@pytest.mark.parametrize("name", BUNDLES)
def test_two_streams_of_one_bundle_play_side_by_side(name: str, cpp_build: Path, bundles) -> None:
    frames = 50
    found = run(cpp_build / "v2v_threads", "streams", bundles(name).root, frames)
    assert found == {"shown": 2 * frames, "same": 2}


@pytest.mark.parametrize("name", BUNDLES)
def test_every_call_is_refused_while_another_thread_pushes(name: str, cpp_build: Path, bundles) -> None:
    """All of them in each push, which waits until they returned; the frames are those of a stream alone."""
    frames = 20
    found = run(cpp_build / "v2v_threads", "inside", bundles(name).root, frames)
    assert {tuple(each) for each in found["codes"]} == {(name, 3004, frames) for name in calls_of_a_stream()}
    assert (found["accepted"], found["same"]) == (frames, 1)


@pytest.mark.parametrize("name", BUNDLES)
def test_two_threads_push_into_one_stream(name: str, cpp_build: Path, bundles) -> None:
    """Until both were refused, without being made to meet; every frame that was accepted comes out."""
    found = run(cpp_build / "v2v_threads", "pushes", bundles(name).root, 50)
    assert found["others"] == found["failed"] == 0
    assert min(found["refused"]) > 0
    assert found["accepted"] >= 50
    assert (found["frames_in"], found["shown"]) == (found["accepted"], found["accepted"])
    assert found["same"] == 1


def test_a_stream_is_destroyed_while_another_thread_pushes(cpp_build: Path, bundles) -> None:
    """The first destroy of each is refused, one succeeds, then pushes find no stream. Nothing is kept."""
    found = run(cpp_build / "v2v_threads", "destroys", bundles("shortcut_v2v-shortcut").root, 20)
    assert found["streams"] == 20
    assert set(found["pushed"]) <= {"0", "3004", "3101"}
    assert found["pushed"]["0"] >= found["streams"]
    assert found["pushed"]["3101"] == found["streams"]
    assert set(found["destroyed"]) == {"0", "3004"}
    assert found["destroyed"]["0"] == found["streams"] <= found["destroyed"]["3004"]
    assert (found["kept"], found["left"]) == (0, 0)


def test_a_destroyed_stream_is_gone(cpp_build: Path, bundles) -> None:
    """Also while another thread is still being told that it was refused: all but the handle's own record.

    That thread holds the record, and the three texts of its error.
    """
    found = run(cpp_build / "v2v_threads", "gone", bundles("std").root)
    assert (found["refused"], found["destroyed"], found["again"], found["left"]) == (3004, 0, 3101, 0)
    assert found["made"] > 100
    assert found["kept"] <= 4

"""Engines that are loaded with their phase, in both languages: not to be had, and shared by two phases."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from conformance.programs.base import HEIGHT, WIDTH, Frame, Synthetic
from support.both import Both
from support.cpp import Library
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import Call, Emit, FrameSpec, Phase, Program, Slot

ADDED = {"near": 1, "far": 2}


def frame(value: int) -> Frame:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


def program() -> Synthetic:
    """Phases ``first`` and ``again`` run graph ``near``, ``last`` runs ``far``; each adds its number."""

    def phase(name: str, steps: int | Literal["forever"], graph: str) -> Phase:
        return Phase(name, steps, (Call("c", graph, {"frame": "video"}, {"y": "out"}),), emit=Emit("out"))

    spec = FrameSpec(HEIGHT, WIDTH)
    graphs = {
        name: f"{name} (uint8[1,2,4,3] frame) => (uint8[1,2,4,3] y)\n"
        f"<uint8 n = {{{added}}}>\n{{ y = Add(frame, n) }}"
        for name, added in ADDED.items()
    }
    return Synthetic(
        "phases",
        Program(
            inputs={"video": spec},
            outputs={"shown": spec},
            phases=(phase("first", 2, "near"), phase("again", 2, "near"), phase("last", "forever", "far")),
            max_frames=1,
        ),
        graphs,
        simulate=None,
        resident_phase=frozenset(ADDED),
    )


def late_program() -> Synthetic:
    """After ``first``, ``draw`` adds what ``keep``, late, kept of the frame before: its value plus 2."""
    video = {"frame": "video"}
    first = Phase("first", 1, (Call("near", "near", video, {"y": "out"}),), emit=Emit("out"))
    calls = (
        Call("draw", "draw", {**video, "kept": "kept"}, {"y": "out"}),
        Call("keep", "keep", video, {"y": "kept"}, late=True),
    )
    spec = FrameSpec(HEIGHT, WIDTH)
    add = "{name} (uint8[1,2,4,3] frame) => (uint8[1,2,4,3] y)\n<uint8 n = {{{n}}}>\n{{ y = Add(frame, n) }}"
    graphs = {
        "near": add.format(name="near", n=1),
        "keep": add.format(name="keep", n=2),
        "draw": "draw (uint8[1,2,4,3] frame, uint8[1,2,4,3] kept) => (uint8[1,2,4,3] y)\n"
        "{ y = Add(frame, kept) }",
    }
    return Synthetic(
        "late phases",
        Program(
            inputs={"video": spec},
            outputs={"shown": spec},
            phases=(first, Phase("play", "forever", calls, emit=Emit("out"))),
            max_frames=1,
            slots={"kept": Slot("uint8", (1, HEIGHT, WIDTH, 3))},
        ),
        graphs,
        simulate=None,
        resident_phase=frozenset(graphs),
    )


@dataclass
class Played:
    both: Both
    bundle: Bundle

    def shows(self, value: int, expected: int) -> None:
        made = self.both.push(frame(value))
        assert made is not None, self.both.codes
        np.testing.assert_array_equal(made[1][0].rgb8, frame(expected))

    def enter(self, phase: str) -> None:
        self.both.do(lambda: self.both.python.enter(phase), lambda: self.both.cpp.enter(phase))
        assert not self.both.codes

    def refused(self, method: str, *arguments: object) -> None:
        """Both streams say that a graph's file is gone."""
        python, cpp = (getattr(stream, method) for stream in (self.both.python, self.both.cpp))
        answer = self.both.do(lambda: python(*arguments), lambda: cpp(*arguments))
        assert (answer, self.both.codes.pop()) == (None, "V2V-E1010")


@pytest.fixture
def played(library: Library, tmp_path: Path) -> Iterator[Played]:
    bundle = program().write(tmp_path / "bundle")
    made = Played(Both(library, bundle, "inline"), bundle)
    yield made
    made.both.close()


def test_a_phase_that_cannot_be_entered(played: Played) -> None:
    """While no graph can be read each call is refused, and none of them loses a frame or changes anything."""
    both, graphs = played.both, played.bundle.root / "graphs"
    played.shows(3, 4)
    graphs.rename(graphs.with_name("away"))
    played.refused("enter", "last")
    for _ in range(2):
        played.refused("push", frame(5))
    played.refused("reset")
    assert both.do(both.python.flush, both.cpp.flush) is not None
    assert both.do(both.python.snapshot, both.cpp.snapshot) is not None
    graphs.with_name("away").rename(graphs)
    assert both.do(both.python.reset, both.cpp.reset) is not None
    for value in range(4):
        played.shows(value, value + 1)
    played.shows(8, 10)


def test_the_phase_that_stays_goes_on(played: Played) -> None:
    graphs = played.bundle.root / "graphs"
    played.shows(3, 4)
    graphs.rename(graphs.with_name("away"))
    played.refused("enter", "last")
    graphs.with_name("away").rename(graphs)
    for value in range(3):
        played.shows(value, value + 1)
    played.shows(8, 10)


def test_a_phase_that_shares_engines_with_the_next_is_bound_anew(played: Played) -> None:
    for value in range(4):
        played.shows(value, value + 1)
    played.shows(4, 6)
    played.enter("first")
    for value in range(4):
        played.shows(value, value + 1)
    played.shows(4, 6)


@pytest.mark.parametrize("late", ["thread", "inline"])
def test_a_reset_that_failed_leaves_the_late_calls_of_a_step(
    late: str, library: Library, tmp_path: Path
) -> None:
    """They begin when the step is collected and load their engines again, or have failed."""
    bundle = late_program().write(tmp_path / "bundle")
    played = Played(Both(library, bundle, late), bundle)
    both, graphs, away = played.both, bundle.root / "graphs", bundle.root / "away"
    played.shows(3, 4)
    both.submit(frame(5))
    graphs.rename(away)
    played.refused("reset")
    away.rename(graphs)
    assert both.collect() is not None
    played.shows(6, 6 + 5 + 2)
    both.submit(frame(7))
    graphs.rename(away)
    played.refused("reset")
    assert both.collect() is not None
    away.rename(graphs)
    assert both.push(frame(1)) is None
    assert both.codes.pop() == "V2V-E3024"
    played.shows(1, 1 + 6 + 2)
    both.close()


def test_a_stream_goes_on_while_others_load(cpp_build: Path, tmp_path: Path) -> None:
    """Two streams that enter one phase load its engine once; a third one's frames do not wait for it."""
    root = program().write(tmp_path / "bundle").root
    command = [cpp_build / "v2v_loading", root, "last"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"loads": 1, "shown": 2, "shared": 1, "makers": 1}

"""C++ and Python play the same bundles: bit-equal frames, the same codes, trace and counters."""

from __future__ import annotations

import random

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from conformance.programs.base import HEIGHT, WIDTH
from support.both import Both
from support.pairs import Footage

FRAMES = 220


class Player:
    """Pushes frames and does everything else that a user may do, at random but from a seed."""

    def __init__(self, both: Both, name: str, seed: int) -> None:
        self.both = both
        self.done: set[str] = set()
        self._choice = random.Random(seed)
        self._numbers = np.random.default_rng(seed)
        self._footage = Footage(seed, still=0.93 if name == "lipar" else 0.3)
        self._program = both.python.session.program

    def step(self, index: int) -> None:
        draw = self._choice.random()
        actions = (self.reset, self.flush, self.enter, self.refused, self.snapshot, self.params, self.bad)
        for limit, action in zip((0.03, 0.06, 0.09, 0.14, 0.18, 0.26, 0.32), actions, strict=True):
            if draw < limit:
                self.done.add(action.__name__)
                action(index)
                break
        frame = self._footage.next()
        if draw > 0.9:  # rows of a wider picture
            frame = np.ascontiguousarray(np.concatenate([frame, frame], axis=1))[:, :WIDTH]
        self.both.push(frame, None if draw > 0.6 else index * 7)

    def reset(self, index: int) -> None:
        params = self._choice.random() < 0.5
        self.both.do(lambda: self.both.python.reset(params), lambda: self.both.cpp.reset(params))

    def flush(self, index: int) -> None:
        self.both.do(self.both.python.flush, self.both.cpp.flush)
        self.both.push(self._footage.next(), index)
        self.reset(index)

    def enter(self, index: int) -> None:
        phase = self._choice.choice([*(phase.name for phase in self._program.phases), "no-such-phase"])
        self.both.do(lambda: self.both.python.enter(phase), lambda: self.both.cpp.enter(phase))

    def refused(self, index: int) -> None:
        shape = self._choice.choice([(HEIGHT + 1, WIDTH, 3), (HEIGHT, WIDTH - 1, 3)])
        self.both.push(np.zeros(shape, np.uint8), index)

    def snapshot(self, index: int) -> None:
        kept = self.both.do(self.both.python.snapshot, self.both.cpp.snapshot)
        for _ in range(self._choice.randrange(4)):
            self.both.push(self._footage.next(), index)
        if kept is not None:
            python, cpp = kept
            self.both.do(lambda: self.both.python.restore(python), lambda: self.both.cpp.restore(cpp))
            assert self.both.cpp.library.destroy("snapshot", cpp) == 0

    def params(self, index: int) -> None:
        declared = self._program.params
        names = self._choice.sample(sorted(declared), self._choice.randint(0, len(declared)))
        types = {"int32": ["int32", "int64", "uint8"], "float": ["float32", "float64", "int32"]}
        values = {}
        for name in names:
            dtype = self._choice.choice(types.get(declared[name].dtype, [declared[name].dtype]))
            values[name] = self._numbers.integers(0, 5, declared[name].shape).astype(dtype)
        if self._choice.random() < 0.2:
            values["nothing"] = np.zeros(1, np.float32)
        self.both.do(lambda: self.both.python.set_params(values), lambda: self.both.cpp.set_params(values))

    def bad(self, index: int) -> None:
        frame = self._footage.bad() if self._choice.random() < 0.5 else self._footage.late_trigger()
        self.both.push(frame, index)


@pytest.mark.parametrize("name", list(PROGRAMS))
@pytest.mark.parametrize("late", ["thread", "inline"])
def test_the_same_frames_trace_and_counters(name: str, late: str, library, bundles) -> None:
    both = Both(library, bundles(name), late)
    player = Player(both, name, seed=5 if late == "thread" else 6)
    for index in range(FRAMES):
        player.step(index)
    both.close()
    assert len(player.done) == 7, "the seed leaves something out: choose another"
    assert "V2V-E3020" in both.codes
    assert "V2V-E3002" in both.codes
    assert both.shown > 100


@pytest.mark.parametrize("name", [name for name, make in PROGRAMS.items() if make().overrides])
def test_the_same_in_the_variant_that_writes_in_place(name: str, library, bundles) -> None:
    both = Both(library, bundles(name), "thread", variant="in-place")
    player = Player(both, name, seed=7)
    for index in range(FRAMES):
        player.step(index)
    both.close()
    assert both.shown > 100

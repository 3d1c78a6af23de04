"""A user of a stream who does everything that a user may do, at random but from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from support.both import Both
from support.pairs import Footage

Picture = NDArray[np.uint8]


class Pictures(Protocol):
    """Where the frames come from."""

    def next(self) -> Picture:
        """A frame uint8 [H, W, 3]."""


class Player:
    """Pushes frames to both streams; between them come resets, flushes, params, phases and refused frames.

    Attributes:
        done: the names of what it did beside pushing.
    """

    def __init__(self, both: Both, pictures: Pictures, seed: int) -> None:
        self.both = both
        self.done: set[str] = set()
        self._choice = random.Random(seed)
        self._numbers = np.random.default_rng(seed)
        self._pictures = pictures
        self._program = both.python.session.program
        self._size = both.python.input_size

    def actions(self) -> Sequence[tuple[float, Callable[[int], None]]]:
        """What it does before a frame, each with how often."""
        return (
            (0.03, self.reset),
            (0.03, self.flush),
            (0.03, self.enter),
            (0.05, self.refused),
            (0.04, self.snapshot),
            (0.08, self.params),
        )

    def step(self, index: int) -> None:
        """One frame, and now and then something else before it."""
        draw, limit = self._choice.random(), 0.0
        for share, action in self.actions():
            limit += share
            if draw < limit:
                self.done.add(action.__name__)
                action(index)
                break
        frame = self._pictures.next()
        if draw > 0.9:  # rows of a wider picture
            frame = np.concatenate([frame, frame], axis=1)[:, : self._size[1]]
        self.both.push(frame, None if draw > 0.6 else index * 7)

    def reset(self, index: int) -> None:
        params = self._choice.random() < 0.5
        self.both.do(lambda: self.both.python.reset(params), lambda: self.both.cpp.reset(params))

    def flush(self, index: int) -> None:
        self.both.do(self.both.python.flush, self.both.cpp.flush)
        self.both.push(self._pictures.next(), index)
        self.reset(index)

    def enter(self, index: int) -> None:
        phase = self._choice.choice([*(phase.name for phase in self._program.phases), "no-such-phase"])
        self.both.do(lambda: self.both.python.enter(phase), lambda: self.both.cpp.enter(phase))

    def refused(self, index: int) -> None:
        height, width = self._size
        shape = self._choice.choice([(height + 1, width, 3), (height, width - 1, 3)])
        self.both.push(np.zeros(shape, np.uint8), index)

    def snapshot(self, index: int) -> None:
        kept = self.both.do(self.both.python.snapshot, self.both.cpp.snapshot)
        for _ in range(self._choice.randrange(4)):
            self.both.push(self._pictures.next(), index)
        if kept is not None:
            python, cpp = kept
            self.both.do(lambda: self.both.python.restore(python), lambda: self.both.cpp.restore(cpp))
            assert self.both.cpp.library.destroy("snapshot", cpp) == 0

    def params(self, index: int) -> None:
        """Some of them in types that fit; now and then one that the program does not have."""
        declared = self._program.params
        names = self._choice.sample(sorted(declared), self._choice.randint(0, len(declared)))
        types = {"int32": ["int32", "int64", "uint8"], "float": ["float32", "float64", "int32"]}
        values: dict[str, NDArray[Any]] = {}
        for name in names:
            dtype = self._choice.choice(types.get(declared[name].dtype, [declared[name].dtype]))
            shape = declared[name].shape
            if shape == (1,) and self._choice.random() < 0.5:
                shape = ()  # a plain number
            values[name] = np.asarray(self._numbers.integers(0, 5, shape), dtype)
        if self._choice.random() < 0.2:
            values["nothing"] = np.zeros(1, np.float32)
        self.both.do(lambda: self.both.python.set_params(values), lambda: self.both.cpp.set_params(values))


class SyntheticPlayer(Player):
    """One who knows which frames make a step, or the late part of one, of a synthetic program fail."""

    def __init__(self, both: Both, footage: Footage, seed: int) -> None:
        super().__init__(both, footage, seed)
        self._footage = footage

    def actions(self) -> Sequence[tuple[float, Callable[[int], None]]]:
        return (*super().actions(), (0.06, self.bad))

    def bad(self, index: int) -> None:
        frame = self._footage.bad() if self._choice.random() < 0.5 else self._footage.late_trigger()
        self.both.push(frame, index)

"""A stream and its simulation, driven together: every answer of the one must be the other's."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
from conformance.programs.base import (
    BAD,
    EndedError,
    Frame,
    LateError,
    Simulation,
    StepError,
    Synthetic,
    UnwrittenError,
)
from conformance.programs.stream_diffusion import ConditionedSimulation
from v2v_runtime.errors import StreamError
from v2v_runtime.frames import OutputFrame
from v2v_runtime.stream import Stream

#: What a simulation raises -> the code that the stream must give.
CODES = {
    StepError: "V2V-E3020",
    LateError: "V2V-E3024",
    EndedError: "V2V-E3006",
    UnwrittenError: "V2V-E3033",
}

#: First values that make a NaN in a late call of one of the programs.
LATE_TRIGGERS = (27, 34)


class Pair:
    """Does each thing to both and compares what they answer."""

    def __init__(self, stream: Stream, synthetic: Synthetic) -> None:
        self.stream = stream
        self._synthetic = synthetic
        self.simulation: Simulation = synthetic.simulate()
        self.failed: list[str] = []

    def push(self, frame: Frame, timestamp: Any) -> None:
        self._both(lambda: self.stream.push(frame, timestamp), lambda: self.simulation.push(frame, timestamp))

    def flush(self) -> None:
        self._both(self.stream.flush, self.simulation.flush)

    def enter(self, phase: str) -> None:
        self._both(lambda: self.stream.enter(phase), lambda: self.simulation.enter(phase))

    def reset(self) -> None:
        """Never fails: a late failure that nobody has asked for is forgotten with the rest."""
        old, fresh = self.simulation, self._synthetic.simulate()
        if isinstance(fresh, ConditionedSimulation) and isinstance(old, ConditionedSimulation):
            fresh.prompt, fresh.guidance, fresh.abc = old.prompt, old.guidance, old.abc
        self.stream.reset()
        self.simulation = fresh

    def set_params(self, **values: Any) -> None:
        simulation = self.simulation
        assert isinstance(simulation, ConditionedSimulation)
        self._both(lambda: self.stream.set_params(**values), lambda: simulation.set_params(**values))

    def _both(self, real: Any, simulated: Any) -> None:
        try:
            expected = simulated()
        except tuple(CODES) as failure:
            code = CODES[type(failure)]
            with pytest.raises(StreamError) as caught:
                real()
            assert caught.value.code == code
            self.failed.append(code)
            return
        assert_frames(real(), expected)
        assert self.stream.owed == len(self.simulation.waiting)


def assert_frames(made: list[OutputFrame] | None, expected: list[tuple[Frame, Any]] | None) -> None:
    """Same pictures, same timestamps, same order."""
    made, expected = made or [], expected or []
    assert [frame.timestamp for frame in made] == [timestamp for _, timestamp in expected]
    for frame, (picture, _) in zip(made, expected, strict=True):
        np.testing.assert_array_equal(frame.rgb8, picture)


class Footage:
    """Frames as a camera gives them: some equal to the one before, some changed in a corner, some new."""

    def __init__(self, seed: int, still: float = 0.3) -> None:
        self._random = np.random.default_rng(seed)
        self._choice = random.Random(seed)
        self._still = still
        self._frame: Frame = self._random.integers(0, 250, (2, 4, 3), dtype=np.uint8)

    def next(self) -> Frame:
        draw = self._choice.random()
        if draw >= self._still:
            changed = self._random.integers(0, 250, (2, 4, 3), dtype=np.uint8)
            if draw < self._still + 0.3:
                rows = self._choice.randrange(2)
                changed[rows:] = self._frame[rows:]
            if changed.flat[0] in LATE_TRIGGERS:
                changed.flat[0] = 1
            self._frame = changed
        return self._frame.copy()

    def bad(self) -> Frame:
        """A frame that makes a NaN."""
        frame = self._random.integers(0, 250, (2, 4, 3), dtype=np.uint8)
        frame.flat[0] = BAD
        return frame

    def late_trigger(self) -> Frame:
        """A frame that makes a NaN in a late call, if one runs in its step."""
        self._frame = self._random.integers(0, 250, (2, 4, 3), dtype=np.uint8)
        self._frame.flat[0] = self._choice.choice(LATE_TRIGGERS)
        return self._frame.copy()


class RandomDriver:
    """Pushes frames and does everything else that a user may do, at random but from a seed."""

    def __init__(self, pair: Pair, seed: int, phases: tuple[str, ...], params: bool) -> None:
        self.pair = pair
        self._choice = random.Random(seed)
        self._numbers = np.random.default_rng(seed)
        self.footage = Footage(seed)
        self._phases = phases
        self._params = params
        self.done: list[str] = []

    def step(self, index: int) -> None:
        """One push, and now and then something else before it."""
        draw = self._choice.random()
        for limit, action in (
            (0.03, self.reset),
            (0.05, self.flush),
            (0.08, self.enter),
            (0.14, self.refused),
            (0.18, self.snapshot_and_back),
            (0.26, self.change_params),
            (0.31, self.bad),
            (0.38, self.late),
        ):
            if draw < limit:
                self.done.append(action.__name__)
                action(index)
                break
        self.pair.push(self.footage.next(), index)

    def reset(self, index: int) -> None:
        self.pair.reset()

    def flush(self, index: int) -> None:
        self.pair.flush()
        if self._choice.random() < 0.5:
            self.pair.push(self.footage.next(), index)
        self.pair.reset()

    def enter(self, index: int) -> None:
        phase = self._choice.choice(self._phases)
        staged = len(self.pair.simulation.staged)
        gathers = {p.name: p.gather for p in self.pair.stream.session.program.phases}
        if staged >= gathers[phase]:
            with pytest.raises(StreamError) as caught:
                self.pair.stream.enter(phase)
            assert caught.value.code in ("V2V-E3031", "V2V-E3024")
            self.pair.simulation.late_failed = False
        else:
            self.pair.enter(phase)

    def refused(self, index: int) -> None:
        frame = self._choice.choice(
            [
                np.zeros((2, 4, 4), np.uint8),
                np.zeros((2, 4, 3), np.float32),
                np.zeros((2, 4, 3), np.uint8)[..., ::-1],
            ]
        )
        with pytest.raises(StreamError) as caught:
            self.pair.stream.push(frame)
        assert caught.value.code in ("V2V-E3001", "V2V-E3002", "V2V-E3003", "V2V-E3024")
        self.pair.simulation.late_failed = False

    def snapshot_and_back(self, index: int) -> None:
        try:
            self.pair.simulation.settle()
        except LateError:
            with pytest.raises(StreamError):
                self.pair.stream.snapshot()
        kept = self.pair.stream.snapshot(), copy.deepcopy(self.pair.simulation)
        for extra in range(self._choice.randrange(4)):
            self.pair.push(self.footage.next(), f"lost {index}.{extra}")
        self.pair.stream.restore(kept[0])
        self.pair.simulation = kept[1]

    def change_params(self, index: int) -> None:
        if not self._params:
            return
        simulation = self.pair.simulation
        assert isinstance(simulation, ConditionedSimulation)
        every = {
            "prompt": self._numbers.integers(0, 50, (1, 4)).astype(np.int32),
            "guidance": self._numbers.integers(1, 9, 1).astype(np.float32),
            "abc": self._numbers.integers(0, 4, simulation.abc.shape).astype(np.float32),
        }
        names = self._choice.sample(sorted(every), self._choice.randint(1, 3))
        self.pair.set_params(**{name: every[name] for name in names})

    def bad(self, index: int) -> None:
        self.pair.push(self.footage.bad(), f"bad {index}")

    def late(self, index: int) -> None:
        self.pair.push(self.footage.late_trigger(), f"late {index}")

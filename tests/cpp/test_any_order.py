"""Whatever is called when, a submit apart from its collect too: C++ and Python answer alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from conformance.programs import PROGRAMS
from support.both import Both
from support.cpp import Library
from support.pairs import Footage
from support.players import SyntheticPlayer
from v2v_runtime.bundle import Bundle

OPERATIONS = 250


class Caller(SyntheticPlayer):
    """One who calls anything at any time."""

    def __init__(self, both: Both, seed: int) -> None:
        self._pushed = Footage(seed)
        super().__init__(both, self._pushed, seed)
        self._draw = random.Random(seed)
        self._kept: list[tuple[Any, Any]] = []

    def operations(self) -> Sequence[tuple[int, Callable[[int], object]]]:
        """What it does, each with how often."""
        both = self.both
        return (
            (30, lambda index: both.push(self._pushed.next(), index)),
            (14, lambda index: both.submit(self._pushed.next())),
            (14, lambda index: both.collect()),
            (2, lambda index: both.flush()),
            (6, self.reset),
            (5, self.enter),
            (4, self.keep),
            (4, self.back),
            (6, self.params),
            (2, self.refused),
            (8, self.bad),
            (1, lambda index: both.do(both.python.selftest, both.cpp.selftest)),
        )

    def call(self, index: int) -> None:
        """One of them; then both owe the same."""
        shares, operations = zip(*self.operations(), strict=True)
        self._draw.choices(operations, shares)[0](index)
        self.both.owed()

    def keep(self, index: int) -> None:
        made = self.both.do(self.both.python.snapshot, self.both.cpp.snapshot)
        if made is not None:
            self._kept.append(made)

    def back(self, index: int) -> None:
        """To any snapshot that was ever made."""
        if self._kept:
            python, cpp = self._draw.choice(self._kept)
            self.both.do(lambda: self.both.python.restore(python), lambda: self.both.cpp.restore(cpp))

    def end(self) -> None:
        for _, cpp in self._kept:
            assert self.both.cpp.library.destroy("snapshot", cpp) == 0
        self.both.do(self.both.python.reset, self.both.cpp.reset)
        self.both.close()


@pytest.mark.parametrize("late", ["thread", "inline"])
@pytest.mark.parametrize("name", ["stream_diffusion", "std", "streamv2v", "shortcut_v2v-shortcut"])
def test_calls_in_any_order(name: str, late: str, library: Library, bundles: Callable[[str], Bundle]) -> None:
    """Two programs with params, two with late calls."""
    both = Both(library, bundles(name), late, timing=True)
    caller = Caller(both, seed=list(PROGRAMS).index(name))
    for index in range(OPERATIONS):
        caller.call(index)
    caller.end()
    assert {"V2V-E3002", "V2V-E3007", "V2V-E3020"} <= set(both.codes)
    assert both.shown > 20

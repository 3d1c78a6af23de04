"""C++ and Python play the same bundles: bit-equal frames, the same codes, trace and counters."""

from __future__ import annotations

import pytest
from conformance.programs import PROGRAMS
from support.both import Both
from support.pairs import Footage
from support.players import SyntheticPlayer

FRAMES = 220


def player(both: Both, name: str, seed: int) -> SyntheticPlayer:
    return SyntheticPlayer(both, Footage(seed, still=0.93 if name == "lipar" else 0.3), seed)


@pytest.mark.parametrize("name", list(PROGRAMS))
@pytest.mark.parametrize("late", ["thread", "inline"])
def test_the_same_frames_trace_and_counters(name: str, late: str, library, bundles) -> None:
    both = Both(library, bundles(name), late)
    user = player(both, name, seed=5 if late == "thread" else 6)
    for index in range(FRAMES):
        user.step(index)
    both.close()
    assert len(user.done) == 7, "the seed leaves something out: choose another"
    assert "V2V-E3020" in both.codes
    assert "V2V-E3002" in both.codes
    assert both.shown > 100


@pytest.mark.parametrize("name", [name for name, make in PROGRAMS.items() if make().overrides])
def test_the_same_in_the_variant_that_writes_in_place(name: str, library, bundles) -> None:
    both = Both(library, bundles(name), "thread", variant="in-place")
    user = player(both, name, seed=7)
    for index in range(FRAMES):
        user.step(index)
    both.close()
    assert both.shown > 100

"""In which steps calls run."""

from __future__ import annotations

import pytest
from v2v_runtime.manifest.model import Call, Changed, Every, FrameSpec, Phase, Program
from v2v_runtime.schedule import due, period, runs_per_step, whole_period


def call(when: Every | Changed | None) -> Call:
    return Call("c", "g", {}, {"y": "x"}, when=when)


@pytest.mark.parametrize(
    ("when", "steps", "share"),
    [
        (None, [0, 1, 2, 3, 4, 5, 6, 7], 1.0),
        (Every(4, (1, 3)), [1, 3, 5, 7], 0.5),
        (Every(3, (0,)), [0, 3, 6], 1 / 3),
        (Changed(("prompt",)), [0], 0.0),
    ],
    ids=["always", "every", "every third", "changed"],
)
def test_steps_in_which_a_call_runs(when: Every | Changed | None, steps: list[int], share: float) -> None:
    assert [step for step in range(8) if due(call(when), step)] == steps
    assert runs_per_step(call(when)) == share


def test_a_period_is_counted_in_steps_and_the_programs_in_frames() -> None:
    calls = call(Every(4, (1,))), call(Every(6, (0, 5))), call(Changed(("prompt",)))
    first, last = Phase("first", 1, (call(Every(5, (0,))),)), Phase("last", "forever", calls, gather=2)
    assert (period(first), period(last)) == (5, 12)
    size = FrameSpec(2, 2)
    assert whole_period(Program({"frame": size}, {"frame": size}, (first, last), max_frames=2)) == 24

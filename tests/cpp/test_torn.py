"""A warm-up that failed half way, in both languages: what it overwrote in place is made whole or refused."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from conformance.programs.base import HEIGHT, WIDTH, Frame, Synthetic
from support.both import Both
from support.cpp import Library
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import Call, Emit, FrameSpec, Phase, Program, Slot, View

LOST, SICK, EARLY = 99, 98, 97
"""Frames on which the warm-up's second call fails, gives what is not finite, or a call before both fails."""

_BODY = """
  wide = Cast<to = 1>(frame)
  x = Reshape(wide, flat)
  x0 = Slice(x, i0, i1, i1)
  is_fatal = Equal(x0, fatal)
  is_bad = Equal(x0, bad)
  far = Where(is_fatal, i9, i0)
  nothing = Gather(i0, far)"""

_CONSTANTS = """int64[2] flat = {1,24}, int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i9 = {9},
 float zero = {0}"""


def warm(row: int) -> str:
    """Writes the frame's first value; row 1 can fail."""
    fatal, bad = (LOST, SICK) if row else (-1, -1)
    return f"""warm_{row} (uint8[1,2,4,3] frame) => (float[1,24] sink, bool[1] ok)
<{_CONSTANTS}, float fatal = {{{fatal}}}, float bad = {{{bad}}}>
{{{_BODY}
  none = Cast<to = 1>(nothing)
  sink = Add(x, none)
  flag = Reshape(is_bad, i1)
  ok = Not(flag)
}}"""


SHOW = f"""show (uint8[1,2,4,3] frame) => (uint8[1,2,4,3] y)
<{_CONSTANTS}, float fatal = {{{EARLY}}}, float bad = {{-1}}>
{{{_BODY}
  none = Cast<to = 2>(nothing)
  y = Add(frame, none)
}}"""

SUM = """sum (float[2,24] sinks) => (uint8[1,2,4,3] y)
<int64[1] i0 = {0}, int64[4] hwc = {1,2,4,3}>
{
  total = ReduceSum<keepdims = 0>(sinks, i0)
  u8 = Cast<to = 2>(total)
  y = Reshape(u8, hwc)
}"""


def program() -> Program:
    """``warm`` writes row after row of ``sinks`` in place; ``play`` shows their sum; ``idle`` reads none."""
    show = Call("show", "show", {"frame": "video"}, {"y": "out"})
    rows = tuple(
        Call(
            f"warm_{row}",
            f"warm_{row}",
            {"frame": "video"},
            {"sink": View("sinks", row, 1), "ok": None},
            check=("ok",),
            in_place=("sink",),
        )
        for row in range(2)
    )
    spec = FrameSpec(HEIGHT, WIDTH)
    return Program(
        inputs={"video": spec},
        outputs={"shown": spec},
        phases=(
            Phase("idle", 1, (show,), emit=Emit("out")),
            Phase("warm", 1, (show, *rows), emit=Emit("out")),
            Phase(
                "play", "forever", (Call("sum", "sum", {"sinks": "sinks"}, {"y": "out"}),), emit=Emit("out")
            ),
        ),
        max_frames=1,
        slots={"sinks": Slot("float", (2, 24))},
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    models = {"warm_0": warm(0), "warm_1": warm(1), "show": SHOW, "sum": SUM}
    synthetic = Synthetic("torn", program(), models, simulate=lambda: pytest.fail("it has none"))
    return synthetic.write(tmp_path_factory.mktemp("torn") / "bundle")


def frame(value: int) -> Frame:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


@pytest.fixture
def both(library: Library, bundle: Bundle) -> Iterator[Both]:
    """Warmed up on 3, so that a frame shows 6, and about to warm up again."""
    made = Both(library, bundle, "inline")
    shows(made, {1: 1, 3: 3, 4: 6})
    enter(made, "warm")
    yield made
    made.close()


def shows(both: Both, frames: dict[int, int]) -> None:
    """Pushes frames, each of which must show what stands with it."""
    for given, expected in frames.items():
        answer = both.push(frame(given))
        assert answer is not None
        assert [set(shown.rgb8.flat) for shown in answer[0]] == [{expected}]


def enter(both: Both, phase: str, code: str | None = None) -> None:
    answer = both.do(lambda: both.python.enter(phase), lambda: both.cpp.enter(phase))
    if code is None:
        assert answer is not None
    else:
        assert (answer, both.codes[-1]) == (None, code)


def fail(both: Both, value: int, code: str) -> None:
    assert both.push(frame(value)) is None
    assert both.codes[-1] == code


@pytest.mark.parametrize(("value", "code"), [(LOST, "V2V-E3021"), (SICK, "V2V-E3020")])
def test_what_reads_it_cannot_be_entered(value: int, code: str, both: Both) -> None:
    fail(both, value, code)
    enter(both, "play", "V2V-E3032")
    enter(both, "play", "V2V-E3032")
    shows(both, {5: 5, 1: 10})
    enter(both, "play")
    shows(both, {1: 10})


def test_a_phase_before_it_may_be_entered(both: Both) -> None:
    fail(both, LOST, "V2V-E3021")
    enter(both, "idle")
    shows(both, {7: 7})
    enter(both, "play", "V2V-E3032")
    shows(both, {5: 5, 1: 10})


def test_a_failure_before_anything_was_overwritten_leaves_it_whole(both: Both) -> None:
    fail(both, EARLY, "V2V-E3021")
    enter(both, "play")
    shows(both, {1: 6})


def test_reset_forgets_it(both: Both) -> None:
    fail(both, LOST, "V2V-E3021")
    both.do(both.python.reset, both.cpp.reset)
    enter(both, "play")
    shows(both, {1: 0})


def test_a_snapshot_knows(both: Both) -> None:
    whole = both.do(both.python.snapshot, both.cpp.snapshot)
    fail(both, LOST, "V2V-E3021")
    torn = both.do(both.python.snapshot, both.cpp.snapshot)
    assert whole is not None
    assert torn is not None
    for python, cpp, code in ((*torn, "V2V-E3032"), (*whole, None)):
        both.do(partial(both.python.restore, python), partial(both.cpp.restore, cpp))
        enter(both, "play", code)
        assert both.cpp.library.destroy("snapshot", cpp) == 0
    shows(both, {1: 6})

"""A warm-up that failed half way or never ran, in both languages: nothing plays on what it left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from conformance.programs import PROGRAMS
from conformance.programs.base import HEIGHT, WIDTH, Frame, Synthetic
from support.both import Both
from support.cpp import CppError, Library
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import V2VError
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

SUM = """sum (float[2,24] sinks, float[1,24] marks) => (uint8[1,2,4,3] y)
<int64[1] i0 = {0}, int64[4] hwc = {1,2,4,3}, float zero = {0}>
{
  total = ReduceSum<keepdims = 0>(sinks, i0)
  none = Mul(marks, zero)
  both = Add(total, none)
  u8 = Cast<to = 2>(both)
  y = Reshape(u8, hwc)
}"""


def program() -> Program:
    """``warm`` writes ``marks`` and row after row of ``sinks`` in place; ``play`` reads all, shows the sum
    of the rows; ``idle`` reads none."""
    show = Call("show", "show", {"frame": "video"}, {"y": "out"})
    mark = Call(
        "mark", "warm_0", {"frame": "video"}, {"sink": View("marks", 0, 1), "ok": None}, in_place=("sink",)
    )
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
            Phase("warm", 1, (show, mark, *rows), emit=Emit("out")),
            Phase(
                "play",
                "forever",
                (Call("sum", "sum", {"sinks": "sinks", "marks": "marks"}, {"y": "out"}),),
                emit=Emit("out"),
            ),
        ),
        max_frames=1,
        slots={"sinks": Slot("float", (2, 24)), "marks": Slot("float", (1, 24))},
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    models = {"warm_0": warm(0), "warm_1": warm(1), "show": SHOW, "sum": SUM}
    synthetic = Synthetic("torn", program(), models, simulate=lambda: pytest.fail("it has none"))
    return synthetic.write(tmp_path_factory.mktemp("torn") / "bundle")


def frame(value: int) -> Frame:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


@pytest.fixture
def new(library: Library, bundle: Bundle) -> Iterator[Both]:
    """Not warmed up."""
    made = Both(library, bundle, "inline")
    yield made
    made.close()


@pytest.fixture
def both(new: Both) -> Both:
    """Warmed up on 3, so that a frame shows 6, and about to warm up again."""
    shows(new, {1: 1, 3: 3, 4: 6})
    enter(new, "warm")
    return new


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


def test_it_is_told_in_the_same_words(both: Both, capfd: pytest.CaptureFixture[str]) -> None:
    """Which slots, how many; and by the error alone, not by ONNX Runtime on stderr."""
    capfd.readouterr()
    fail(both, LOST, "V2V-E3021")
    assert capfd.readouterr() == ("", "")
    with pytest.raises(V2VError) as python:
        both.python.enter("play")
    with pytest.raises(CppError) as cpp:
        both.cpp.enter("play")
    assert "phase 'play' reads marks and 1 more slots, of which" in str(cpp.value)
    assert str(cpp.value) == str(python.value)


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
    enter(both, "play", "V2V-E3033")
    shows(both, {1: 1, 4: 4, 5: 8})
    enter(both, "play")
    shows(both, {1: 8})


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


def test_a_new_stream_does_not_play_on_zeros(new: Both) -> None:
    enter(new, "play", "V2V-E3033")
    enter(new, "warm")
    fail(new, LOST, "V2V-E3021")
    enter(new, "play", "V2V-E3032")
    enter(new, "warm")
    enter(new, "idle")
    enter(new, "play", "V2V-E3032")
    shows(new, {7: 7, 5: 5, 1: 10})
    enter(new, "play")
    shows(new, {1: 10})


def test_a_snapshot_knows_whether_it_is_warm(new: Both) -> None:
    fresh = new.do(new.python.snapshot, new.cpp.snapshot)
    shows(new, {1: 1, 3: 3})
    warm = new.do(new.python.snapshot, new.cpp.snapshot)
    assert fresh is not None
    assert warm is not None
    for python, cpp, code in ((*fresh, "V2V-E3033"), (*warm, None)):
        new.do(partial(new.python.restore, python), partial(new.cpp.restore, cpp))
        enter(new, "play", code)
        assert new.cpp.library.destroy("snapshot", cpp) == 0
    shows(new, {1: 6})


FRESH = {
    "shortcut_v2v-shortcut": {"first": True, "stream": False},
    "shortcut_v2v-teacher": {"first": True, "stream": False},
    "live2diff": {"warmup": True, "stream": False},
    "stream_diffusion": {"stream": True},
    "std": {"stream": True},
    "streamv2v": {"prime": True, "stream": False},
    "lipar": {"first": True, "stream": False},
    "entries": {"play": True},
}
"""Program -> whether a new stream may enter each of its phases."""


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_which_phases_a_new_stream_enters(
    name: str, library: Library, bundles: Callable[[str], Bundle]
) -> None:
    both = Both(library, bundles(name), "inline")
    assert [phase.name for phase in both.python.session.program.phases] == list(FRESH[name])
    for phase, may in FRESH[name].items():
        enter(both, phase, None if may else "V2V-E3033")
    both.close()

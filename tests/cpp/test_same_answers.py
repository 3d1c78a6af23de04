"""C++ and Python answer alike where no frame tells: what is refused first, what may be asked when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conformance.programs.base import HEIGHT, WIDTH, Frame
from support.both import Both
from support.cpp import Library
from v2v_runtime.bundle import Bundle

LATE_TRIGGER = 27
"""The first value of a frame with which shortcut_v2v's refresh fails, which runs in every third step."""

WRONG = np.zeros((HEIGHT + 1, WIDTH, 3), np.uint8)


def frame(value: int) -> Frame:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


@pytest.fixture
def both(library: Library, bundles: Callable[[str], Bundle]) -> Iterator[Both]:
    made = Both(library, bundles("shortcut_v2v-shortcut"), timing=True)
    yield made
    made.close()


def fail_late(both: Both) -> None:
    """Four frames, the last of which has a late call that fails."""
    for value in (1, 2, 3, LATE_TRIGGER):
        assert both.push(frame(value)) is not None


def test_times_are_told_at_any_time(both: Both) -> None:
    assert both.runs() == {}
    both.submit(frame(1))
    assert both.runs() == {"first/full": 1}
    both.collect()
    for value in (2, 3, LATE_TRIGGER):
        both.push(frame(value))
    counted = {"first/full": 1, "stream/shortcut": 3, "stream/refresh": 1}
    assert both.runs() == counted
    # Asking has not settled the late call that failed.
    assert both.push(frame(5)) is None
    assert both.codes == ["V2V-E3024"]
    assert both.runs() == counted


def test_a_late_failure_that_a_reset_or_a_restore_forgets_is_counted_and_traced(both: Both) -> None:
    before = both.python.snapshot(), both.cpp.snapshot()
    for forget in (
        lambda: both.do(both.python.reset, both.cpp.reset),
        lambda: both.do(lambda: both.python.restore(before[0]), lambda: both.cpp.restore(before[1])),
    ):
        fail_late(both)
        counted = both.python.counters.failed
        events = len(both.events)
        assert forget() is not None
        assert both.python.counters.failed == counted + 1
        told = [json.loads(event) for event in both.events[events:]]
        assert (told[0]["event"], told[0]["failed"]) == ("late", "V2V-E3020")
    assert both.push(frame(1)) is not None
    assert both.codes == []


def test_late_calls_that_have_not_begun_are_forgotten_by_a_reset(both: Both) -> None:
    """The frame of their step was not collected: they never ran, so there is nothing to tell."""
    for value in (1, 2, 3):
        both.push(frame(value))
    both.submit(frame(LATE_TRIGGER))
    both.do(both.python.reset, both.cpp.reset)
    both.push(frame(1))
    assert both.python.counters.failed == 0
    assert both.codes == []


def test_a_late_failure_that_nobody_asked_for_is_traced_at_the_end(
    library: Library, bundles: Callable[[str], Bundle]
) -> None:
    both = Both(library, bundles("shortcut_v2v-shortcut"))
    fail_late(both)
    both.python.close()
    both.cpp.close()
    assert both.cpp.events == both.events
    last = json.loads(both.events[-1])
    assert (last["event"], last["failed"]) == ("late", "V2V-E3020")


def test_late_calls_that_failed_are_told_before_a_frame_is_looked_at(both: Both) -> None:
    fail_late(both)
    for _ in range(2):
        both.push(WRONG)
    assert both.codes == ["V2V-E3024", "V2V-E3002"]


def test_what_may_not_come_is_refused_before_a_frame_is_looked_at(both: Both) -> None:
    both.submit(frame(1))
    both.submit(WRONG)
    both.collect()
    both.collect()
    both.flush()
    both.push(WRONG)
    both.push(frame(1))
    assert both.codes == ["V2V-E3007", "V2V-E3007", "V2V-E3002", "V2V-E3006"]
    both.do(both.python.reset, both.cpp.reset)


def test_a_selftest_comes_in_turn(both: Both) -> None:
    def test() -> None:
        both.do(both.python.selftest, both.cpp.selftest)

    fail_late(both)
    test()
    test()
    both.submit(frame(1))
    test()
    both.collect()
    assert both.codes == ["V2V-E3024", "V2V-E3060", "V2V-E3007"]


def test_a_flush_that_failed_owes_what_it_holds(library: Library, bundles: Callable[[str], Bundle]) -> None:
    """StreamV2V's merge fails on a 34; in the last step of a flush the frame that was owed is out by then."""
    both = Both(library, bundles("streamv2v"))
    seen = set()
    for count in range(1, 9):
        for index in range(count):
            both.push(frame(100 + index))
        both.push(frame(34))
        before = both.owed()
        if both.flush() is None:
            seen.add((before, both.owed()))
        both.do(both.python.reset, both.cpp.reset)
    both.close()
    assert any(before == after > 0 for before, after in seen)


def test_a_plain_number_stands_for_shape_1(library: Library, bundles: Callable[[str], Bundle]) -> None:
    both = Both(library, bundles("stream_diffusion"))

    def guide(value: Any) -> list[int]:
        both.do(
            lambda: both.python.set_params(guidance=np.asarray(value)),
            lambda: both.cpp.set_params({"guidance": np.asarray(value)}),
        )
        both.do(both.python.reset, both.cpp.reset)
        answers = [both.push(frame(50 + index)) for index in range(4)]
        return [int(shown.rgb8.sum()) for answer in answers if answer for shown in answer[0]]

    seven = guide(np.float32(7))
    assert seven == guide([np.float32(7)])
    assert seven != guide(np.int32(3))
    assert both.codes == []
    guide(np.float32(np.nan))
    guide(True)
    both.do(
        lambda: both.python.set_params(prompt=np.asarray(3)),
        lambda: both.cpp.set_params({"prompt": np.asarray(3)}),
    )
    assert both.codes == ["V2V-E3013", "V2V-E3012", "V2V-E3011"]
    both.close()

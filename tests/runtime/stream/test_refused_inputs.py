"""What a caller may get wrong at the public calls: told with a code and what to do, it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.machines import Toy, flat, picture, shown
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, Emit, Phase, Slot


def toy() -> Toy:
    """Shows the sum of what came in so far, plus a param."""
    add = (
        "x:frame a:f p:f",
        "y:frame next:f",
        lambda g: {"y": picture(g["a"] + g["p"]), "next": flat(g["a"] + g["x"].flat[0])},
    )
    call = Call("add", "add", {"x": "video", "a": "total", "p": "bias"}, {"y": "out", "next": "total"})
    return Toy(
        {"add": add},
        [Phase("play", "forever", (call,), emit=Emit("out"))],
        slots={"total": Slot("float", (1,))},
        params={"bias": ("f", np.array([2], np.float32))},
    )


BAD: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "ragged param": ("V2V-E3011", lambda s: s.set_params(bias=[[1], [1, 2]])),
    "param that is an object": ("V2V-E3012", lambda s: s.set_params(bias=[object()])),
    "param without a name": ("V2V-E3010", lambda s: s.set_params({1: 2})),
    "params in a list": ("V2V-E3014", lambda s: s.set_params([1])),
    "params that are a number": ("V2V-E3014", lambda s: s.set_params(0)),
    "no snapshot": ("V2V-E3042", lambda s: s.restore(3)),
    "None as a snapshot": ("V2V-E3042", lambda s: s.restore(None)),
    "slot with NaN": ("V2V-E3052", lambda s: s.set_slots({"total": np.array([np.nan], np.float32)})),
    "slot with infinity": ("V2V-E3052", lambda s: s.set_slots({"total": np.array([np.inf], np.float32)})),
    "slot in a list": ("V2V-E3051", lambda s: s.set_slots({"total": [1.0]})),
    "slots in a list": ("V2V-E3051", lambda s: s.set_slots([np.zeros(1, np.float32)])),
    "slot without a name": ("V2V-E3050", lambda s: s.set_slots({1: np.zeros(1, np.float32)})),
}


@pytest.mark.parametrize("case", BAD)
def test_it_is_told_and_nothing_changes(case: str) -> None:
    code, call = BAD[case]
    with toy().stream() as stream:
        assert shown(stream, 5, 1) == [2, 7]
        with pytest.raises(StreamError) as caught:
            call(stream)
        error = caught.value
        assert error.code == code
        assert error.seen
        assert error.expected
        assert error.fix
        assert shown(stream, 1) == [8]


@pytest.mark.parametrize("late", ["foo", "", None, True])
def test_a_late_mode_that_is_none(late: Any) -> None:
    with pytest.raises(StreamError) as caught:
        toy().stream(late=late)
    assert caught.value.code == "V2V-E3009"
    assert caught.value.expected == "'thread' or 'inline'"
    assert caught.value.fix

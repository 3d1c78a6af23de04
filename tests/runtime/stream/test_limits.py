"""Params within the limits that a program declares, whoever gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.machines import Toy, picture, shown
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, Emit, Limits, Phase

LIMITS = {"tokens": Limits(0, 9), "share": Limits(-1, 1), "byte": Limits(3, 3)}


def toy(tokens: tuple[int, int] = (1, 2), share: float = 0, **more: Any) -> Toy:
    """Shows the sum of its params."""
    mix = (
        "x:frame tokens:i64[2] share:f byte:u8",
        "y:frame",
        lambda g: {"y": picture(g["tokens"].sum() + g["share"][0] + g["byte"][0])},
    )
    call = Call("mix", "mix", {"x": "video", **{name: name for name in LIMITS}}, {"y": "out"})
    params = {
        "tokens": ("i64[2]", np.array(tokens)),
        "share": ("f", np.array([share], np.float32)),
        "byte": ("u8", np.array([3], np.uint8)),
    }
    phases = [Phase("play", "forever", (call,), emit=Emit("out"))]
    return Toy({"mix": mix}, phases, params=params, limits=LIMITS, **more)


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ({"tokens": [4, 10]}, "values from 4 to 10"),
        ({"tokens": [-1, 4]}, "values from -1 to 4"),
        ({"tokens": [2**62, 0]}, f"values from 0 to {2**62}"),
        ({"share": 1.001}, "1.001"),
        ({"share": -2}, "-2"),
        ({"byte": 4}, "values from 4 to 4"),
        ({"share": 0.5, "tokens": [10, 10]}, "values from 10 to 10"),
    ],
    ids=str,
)
def test_what_lies_outside_is_refused_before_anything_runs(values: dict[str, Any], seen: str) -> None:
    with toy().stream() as stream:
        assert shown(stream, 0) == [6]
        with pytest.raises(StreamError) as refused:
            stream.set_params(values)
        assert refused.value.code == "V2V-E3012"
        assert seen in refused.value.seen
        assert "the limits that the program declares" in refused.value.expected
        assert shown(stream, 0) == [6]


def test_both_ends_are_within() -> None:
    with toy().stream() as stream:
        stream.set_params(tokens=[0, 9], share=1)
        assert shown(stream, 0) == [13]
        stream.set_params(share=-1, byte=3)
        assert shown(stream, 0) == [11]


def test_a_half_is_judged_as_it_is_computed_with() -> None:
    """1.0001 is 1 in float16, which lies within."""
    with toy(float="float16").stream() as stream:
        stream.set_params(share=1.0001)
        assert shown(stream, 0) == [7]


@pytest.mark.parametrize("more", [{"tokens": (1, 10)}, {"share": 2.0}, {"share": np.nan}], ids=str)
def test_a_default_outside_of_its_limits_plays_nothing(more: dict[str, Any]) -> None:
    with pytest.raises(StreamError, match="V2V-E3012"):
        toy(**more).stream()

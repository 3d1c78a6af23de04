"""Toys for what comes in and goes out: delays, gathers, drops."""

from __future__ import annotations

import numpy as np
from support.machines import Toy
from v2v_runtime.manifest.model import Call, Emit, Phase, Slot


def show(wide: int, made: int = 1) -> tuple:
    """Shows the first ``made`` of ``wide`` frames, each with 1 added."""
    many = f"frames{wide}"
    return (f"x:{many}", f"y:frames{made}", lambda g: {"y": g["x"][:made] + 1})


def call(graph: str) -> Call:
    return Call(graph, graph, {"x": "video"}, {"y": "out"})


def one_to_one() -> Toy:
    return Toy({"one": show(1)}, [Phase("play", "forever", (call("one"),), emit=Emit("out"))])


def delayed(steps: int) -> Toy:
    """A pipeline of ``steps`` frames: what comes out was pushed ``steps`` pushes before."""

    def shift(g: dict) -> dict:
        return {"y": g["line"][-1:], "next": np.concatenate([g["x"], g["line"][:-1]])}

    shifted = Call("shift", "shift", {"x": "video", "line": "line"}, {"y": "out", "next": "line"})
    return Toy(
        {"shift": (f"x:frame line:frames{steps}", f"y:frame next:frames{steps}", shift)},
        [Phase("play", "forever", (shifted,), emit=Emit("out", drop_first=steps))],
        slots={"line": Slot("uint8", (steps, 1, 1, 3))},
    )


def chunks() -> Toy:
    """Two steps of 4 frames that hand over 2 each, the first three of which are dropped; then 3 of 3."""
    return Toy(
        {"four": show(4, 2), "three": show(3, 3)},
        [
            Phase("lead", 2, (call("four"),), gather=4, emit=Emit("out", drop_first=3)),
            Phase("play", "forever", (call("three"),), gather=3, emit=Emit("out")),
        ],
        max_frames=3,
    )

"""Poisoned steps of graphs that update a slot themselves: NaN stands where the step is about to rewrite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.machines import Toy, picture
from v2v_export.verify.poison import check_poison
from v2v_runtime.manifest.model import Call, Emit, Phase, Slot, View

FRAMES = 7
PORTS = ("x:frame step:i64 s:f[3,2]", "kept:f[3,2] y:frame")


def replaced(given: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Row ``step % 3`` is replaced."""
    kept = given["s"].copy()
    kept[given["step"][0] % 3] = given["x"].flat[0]
    return {"kept": kept, "y": picture(kept[:, 0].sum() % 200)}


def added(given: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Row ``step % 3`` is added to: tried again, it would be added twice."""
    kept = given["s"].copy()
    kept[given["step"][0] % 3] += given["x"].flat[0]
    return {"kept": kept, "y": picture(0)}


def looked(given: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Row ``step % 3`` is replaced, and shown as it was before: tried again, another picture comes out."""
    kept = given["s"].copy()
    old = np.nan_to_num(kept[given["step"][0] % 3, 0], nan=255.0)
    kept[given["step"][0] % 3] = given["x"].flat[0]
    return {"kept": kept, "y": picture(old)}


def poisoned(graph: Any) -> tuple[int, str | None]:
    """How many steps were poisoned, and what the first one that could tell says."""
    rows = View("rows", 0, 3)
    call = Call(
        "keep",
        "keep",
        {"x": "video", "step": "step", "s": rows},
        {"kept": rows, "y": "out"},
        in_place=("kept",),
    )
    toy = Toy(
        {"keep": (*PORTS, graph)},
        [Phase("play", "forever", (call,), emit=Emit("out"))],
        slots={"rows": Slot("float", (3, 2))},
    )
    clip = np.arange(1, FRAMES + 1, dtype=np.uint8).reshape(FRAMES, 1, 1, 1).repeat(3, axis=3)
    with toy.stream() as stream:
        steps, miss = check_poison(stream, clip, lambda _: None)
    return steps, None if miss is None else miss.what


def test_a_row_that_is_replaced_may_hold_anything_before() -> None:
    assert poisoned(replaced) == (FRAMES, None)


@pytest.mark.parametrize(("graph", "told"), [(added, "rows"), (looked, "picture 0")])
def test_a_row_that_is_read_before_it_is_replaced_is_told(graph: Any, told: str) -> None:
    _, miss = poisoned(graph)
    assert miss is not None
    assert miss.startswith(f"{told} depends on an entry")

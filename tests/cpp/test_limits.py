"""Limits of params in both languages: the same values are refused, with the same code, and change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance.programs.base import HEIGHT, WIDTH, Synthetic
from numpy.typing import NDArray
from support.both import Both
from support.cpp import CppError, CppStream, Library
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import (
    BlobRef,
    Call,
    Emit,
    FrameSpec,
    Limits,
    Param,
    Phase,
    Program,
)
from v2v_runtime.stream import Stream

MIX = """mix (uint8[1,2,4,3] frame, int64[1,2] tokens, float[1] share, uint8[1] byte, int32[1] near)
  => (uint8[1,2,4,3] y)
{
  t = ReduceSum<keepdims = 0>(tokens)
  t32 = Cast<to = 1>(t)
  b32 = Cast<to = 1>(byte)
  n32 = Cast<to = 1>(near)
  a = Add(t32, b32)
  b = Add(a, share)
  c = Add(b, n32)
  u8 = Cast<to = 2>(c)
  y = Add(frame, u8)
}"""

PARAMS: dict[str, tuple[Any, tuple[int, ...], Limits, Any]] = {
    "tokens": ("int64", (1, 2), Limits(0, 9), [[1, 2]]),
    "share": ("float", (1,), Limits(-1, 1), [0]),
    "byte": ("uint8", (1,), Limits(3, 5), [3]),
    "near": ("int32", (1,), Limits(-(2**31), -7), [-7]),
}
NUMPY = {"float": np.float32}


def synthetic(**defaults: Any) -> Synthetic:
    """Adds the sum of its params to the frame: -1 to begin with."""
    blobs: dict[str, NDArray[Any]] = {
        name: np.array(defaults.get(name, value), NUMPY.get(dtype, dtype))
        for name, (dtype, _, _, value) in PARAMS.items()
    }
    spec = FrameSpec(HEIGHT, WIDTH)
    call = Call("mix", "mix", {"frame": "video", **{name: name for name in PARAMS}}, {"y": "out"})
    program = Program(
        inputs={"video": spec},
        outputs={"shown": spec},
        phases=(Phase("play", "forever", (call,), emit=Emit("out")),),
        max_frames=1,
        params={
            name: Param(dtype, shape, BlobRef("blobs/tables.safetensors", name), limits)
            for name, (dtype, shape, limits, _) in PARAMS.items()
        },
    )
    return Synthetic("limits", program, {"mix": MIX}, lambda: pytest.fail("it has none"), blobs)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return synthetic().write(tmp_path_factory.mktemp("limits") / "bundle")


@pytest.fixture
def both(library: Library, bundle: Bundle) -> Iterator[Both]:
    made = Both(library, bundle, "inline")
    yield made
    made.close()


def shows(both: Both, expected: int) -> None:
    answer = both.push(np.full((HEIGHT, WIDTH, 3), 100, np.uint8))
    assert answer is not None
    assert set(answer[0][0].rgb8.flat) == {expected}


def give(both: Both, **values: Any) -> None:
    arrays = {name: np.array(value) for name, value in values.items()}
    both.do(lambda: both.python.set_params(arrays), lambda: both.cpp.set_params(arrays))


@pytest.mark.parametrize(
    "values",
    [
        {"tokens": [[0, 10]]},
        {"tokens": [[-1, 0]]},
        {"tokens": [[2**62, 0]]},
        {"share": [1.001]},
        {"share": [-2]},
        {"byte": [2]},
        {"byte": [6]},
        {"near": [-6]},
        {"share": [1], "tokens": [[9, 10]]},
    ],
    ids=str,
)
def test_outside(both: Both, values: dict[str, Any]) -> None:
    shows(both, 99)
    give(both, **values)
    assert both.codes == ["V2V-E3012"]
    shows(both, 99)


@pytest.mark.parametrize(
    ("name", "value", "seen", "limits"),
    [
        ("tokens", [[10, -1]], "-1 to 10", "0 to 9"),
        ("tokens", [[2**62, 0]], "0 to 4611686018427387904", "0 to 9"),
        ("share", [-1.5], "-1.5 to -1.5", "-1 to 1"),
        ("share", [2], "2.0 to 2.0", "-1 to 1"),
        ("byte", [6], "6 to 6", "3 to 5"),
    ],
    ids=["tokens", "large", "share", "whole", "byte"],
)
def test_both_tell_the_lowest_and_the_highest(
    both: Both, name: str, value: Any, seen: str, limits: str
) -> None:
    words = (
        f"[V2V-E3012] param '{name}' holds values from {seen}\n"
        f"  expected: {limits}, the limits that the program declares\n  to do: give values within them"
    )
    with pytest.raises(StreamError) as python:
        both.python.set_params({name: np.array(value)})
    with pytest.raises(CppError) as cpp:
        both.cpp.set_params({name: np.array(value)})
    assert [str(python.value), str(cpp.value)] == [words, words]


def test_both_ends_are_within(both: Both) -> None:
    give(both, tokens=[[0, 9]], share=[1], byte=[5], near=[-7])
    shows(both, 108)
    give(both, tokens=[[0, 0]], share=[-1.0], byte=[3], near=[-8])
    shows(both, 94)
    assert both.codes == []


def of_halves(limits: Limits) -> Synthetic:
    """The same with ``share`` in float16."""
    made = synthetic()
    model = MIX.replace("float[1] share", "float16[1] share").replace("Add(a, share)", "Add(a, wide)")
    model = model.replace("  t = Reduce", "  wide = Cast<to = 1>(share)\n  t = Reduce")
    program = made.program
    share = replace(program.params["share"], dtype="float16", limits=limits)
    return replace(
        made,
        program=replace(program, params={**program.params, "share": share}),
        models={"mix": model},
        blobs={**made.blobs, "share": np.full(1, min(limits.high, 2050), np.float16)},
    )


def of_singles(limits: Limits) -> Synthetic:
    """The same with other limits of ``share``."""
    made = synthetic(share=[0])
    share = replace(made.program.params["share"], limits=limits)
    return replace(made, program=replace(made.program, params={**made.program.params, "share": share}))


@pytest.mark.parametrize(
    ("make", "limits", "within", "outside"),
    [
        (of_singles, Limits(-1, 2**31 - 1), 2**31 - 128, 2**31),
        (of_singles, Limits(-(2**24) - 3, 0), -(2**24) - 2, -(2**24) - 4),
        (of_halves, Limits(0, 2051), 2050, 2052),
        (of_halves, Limits(2049, 4000), 2050, 2048),
    ],
    ids=["float32", "float32, low", "float16", "float16, low"],
)
def test_a_limit_that_the_type_cannot_hold_is_not_rounded(
    make: Callable[[Limits], Synthetic],
    limits: Limits,
    within: int,
    outside: int,
    library: Library,
    tmp_path: Path,
) -> None:
    both = Both(library, make(limits).write(tmp_path / "bundle"), "inline")
    give(both, share=[float(within)])
    assert both.codes == []
    give(both, share=[float(outside)])
    assert both.codes == ["V2V-E3012"]
    both.close()


def test_a_half_is_judged_as_it_is_computed_with(library: Library, tmp_path: Path) -> None:
    """1.0001 is 1 in float16, which lies within, and 1.001 is 1.001."""
    both = Both(library, of_halves(Limits(-1, 1)).write(tmp_path / "bundle"), "inline")
    give(both, share=[1.0001])
    shows(both, 100)
    give(both, share=[1.001])
    assert both.codes == ["V2V-E3012"]
    both.close()


@pytest.mark.parametrize("name", ["tokens", "share", "near"])
def test_a_default_outside_of_its_limits_plays_nothing(name: str, library: Library, tmp_path: Path) -> None:
    wrong = {"tokens": [[0, 10]], "share": [np.nan], "near": [0]}[name]
    seen = {"tokens": "0 to 10", "share": "nan to nan", "near": "0 to 0"}[name]
    bundle = synthetic(**{name: wrong}).write(tmp_path / "bundle")
    with pytest.raises(StreamError, match=rf"V2V-E3012\] param '{name}' holds values from {seen}\n"):
        Stream(bundle)
    handle = library.open(bundle.root)
    with pytest.raises(CppError) as refused:
        CppStream(library, handle, 0)
    assert refused.value.code == "V2V-E3012"
    assert f"param '{name}' holds values from {seen}\n" in str(refused.value)
    assert library.destroy("bundle", handle) == 0

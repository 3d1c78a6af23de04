"""Options that no stream can be made of are refused before any weights are looked at."""

from __future__ import annotations

from typing import Any

import pytest
from v2v_export.diffusion.errors import GeometryError
from v2v_export.system import FrameSize
from v2v_export.systems.std import SYSTEM
from v2v_export.systems.std.checks import check_options
from v2v_export.systems.std.errors import StudentOptionError
from v2v_export.systems.std.options import StdOptions


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_a_seed_out_of_range(seed: int) -> None:
    with pytest.raises(StudentOptionError, match=r"V2V-E6230.*seed = "):
        SYSTEM.load({}, StdOptions(seed=seed), FrameSize(64, 64))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (StdOptions(timesteps=(779, 379), strength=0.75), "beside strength = 0.75"),
        (StdOptions(timesteps=(779, 379), steps=2), "beside steps = 2"),
        (StdOptions(timesteps=(779, 379), strength=0.75, steps=2), "beside strength = 0.75 and steps = 2"),
    ],
    ids=["strength", "steps", "both"],
)
def test_timesteps_are_in_place_of_strength_and_steps(options: StdOptions, words: str) -> None:
    with pytest.raises(
        StudentOptionError, match=rf"(?s)V2V-E6230.*timesteps = \[779, 379\] {words}"
    ) as caught:
        SYSTEM.load({}, options, FrameSize(64, 64))
    named = [name for name in ("strength", "steps") if name in words]
    assert caught.value.fix == f"remove {' and '.join(named)}, or timesteps"


@pytest.mark.parametrize("mode", ["loop", "batched"])
@pytest.mark.parametrize("options", [{"steps": 9}, {"timesteps": tuple(range(900, 0, -100))}], ids=str)
def test_more_steps_than_a_student_takes(options: dict[str, Any], mode: Any) -> None:
    with pytest.raises(GeometryError, match=r"(?s)V2V-E6122.*: 9 denoising steps.*take 8, 6 or 4"):
        SYSTEM.load({}, StdOptions(mode=mode, **options), FrameSize(64, 64))


def test_as_many_steps_as_a_student_takes() -> None:
    for options in (StdOptions(), StdOptions(steps=8), StdOptions(timesteps=tuple(range(800, 0, -100)))):
        check_options(options)

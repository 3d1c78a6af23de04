"""What a recipe may ask for, and what is refused before any weights are looked at."""

from __future__ import annotations

from typing import Any

import pytest
from v2v_export.diffusion.samplers import SamplerError
from v2v_export.errors import ModelError
from v2v_export.system import FrameSize
from v2v_export.systems.live2diff import SYSTEM
from v2v_export.systems.live2diff.options import Live2DiffOptions, check

SIZE = FrameSize(512, 512)
NOWHERE = {"base": "/nowhere", "live2diff": "/nowhere", "depth": "/nowhere"}


def timesteps(**options: Any) -> tuple[int, ...]:
    return Live2DiffOptions(**options).timesteps().values


def test_published_default() -> None:
    assert timesteps() == (399, 199)


def test_strength_takes_the_last_of_the_steps() -> None:
    # Four LCM steps are 999, 759, 499, 259; int(4 * 0.6) = 2 of them are left.
    assert timesteps(steps=4, strength=0.6, rows=2) == (499, 259)
    assert timesteps(steps=4, strength=0.5, rows=2) == (499, 259)


@pytest.mark.parametrize(("strength", "made"), [(0.1, 5), (0.5, 25)])
def test_strength_of_fifty_steps_does_not_fill_the_memory_unasked(strength: float, made: int) -> None:
    with pytest.raises(ModelError, match="V2V-E6271") as refused:
        timesteps(strength=strength)
    assert f"= {made}" in str(refused.value)
    assert f"rows = {made}" in str(refused.value)


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_rows_that_the_steps_do_not_give(rows: int) -> None:
    with pytest.raises(ModelError, match="V2V-E6271"):
        check(Live2DiffOptions(rows=rows), SIZE)


def test_strength_that_leaves_no_step() -> None:
    with pytest.raises(SamplerError, match="V2V-E6150"):
        check(Live2DiffOptions(steps=4, strength=0.2), SIZE)


def test_list_and_strength_exclude_each_other() -> None:
    with pytest.raises(ModelError, match="V2V-E6275"):
        check(Live2DiffOptions(t_index_list=(30, 40), strength=0.5), SIZE)


@pytest.mark.parametrize(("height", "width", "near"), [(500, 512, "512 x 512"), (64, 40, "64 x 64")])
def test_sizes_are_multiples_of_64(height: int, width: int, near: str) -> None:
    with pytest.raises(ModelError, match="V2V-E6121") as refused:
        SYSTEM.load(NOWHERE, Live2DiffOptions(), FrameSize(height, width))
    assert near in str(refused.value)


@pytest.mark.parametrize("options", [{"clip_skip": 12}, {"noise_frames": 7}, {"seed": -1}])
def test_values_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="V2V-E6275"):
        check(Live2DiffOptions(**options), SIZE)


def test_similarity_filter_is_off_by_default() -> None:
    assert not Live2DiffOptions().similarity

"""What a recipe may ask for, and what is refused before any weights are looked at."""

from __future__ import annotations

from typing import Any

import pytest
from v2v_export.errors import ModelError
from v2v_export.system import FrameSize
from v2v_export.systems.live2diff import SYSTEM
from v2v_export.systems.live2diff.options import Live2DiffOptions, check

SIZE = FrameSize(512, 512)
NOWHERE = {"base": "/nowhere", "live2diff": "/nowhere", "depth": "/nowhere"}
RANDOM = {"base": "random:0", "live2diff": "random:0", "depth": "random:0", "vae": "random:0"}
TINY: dict[str, Any] = {"architecture": "tiny_sd15", "vae": "tiny_taesd"}


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_rows_that_the_steps_do_not_give(rows: int) -> None:
    with pytest.raises(ModelError, match="V2V-E6271"):
        check(Live2DiffOptions(rows=rows), SIZE)


@pytest.mark.parametrize(("height", "width", "near"), [(500, 512, "512 x 512"), (64, 40, "64 x 64")])
def test_sizes_are_multiples_of_64(height: int, width: int, near: str) -> None:
    with pytest.raises(ModelError, match="V2V-E6121") as refused:
        SYSTEM.load(NOWHERE, Live2DiffOptions(), FrameSize(height, width))
    assert near in str(refused.value)


@pytest.mark.parametrize("options", [{"noise_frames": 7}, {"seed": -1}])
def test_values_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="V2V-E6275"):
        check(Live2DiffOptions(**options), SIZE)


@pytest.mark.parametrize("prompt", ["tokens", "embeddings"])
@pytest.mark.parametrize("skip", [-1, 2, 12])
def test_a_clip_skip_that_leaves_no_layer(skip: int, prompt: Any) -> None:
    """The tiny text encoder has two layers."""
    options = Live2DiffOptions(**TINY, clip_skip=skip, prompt=prompt)
    with pytest.raises(ModelError, match=rf"V2V-E6160\] clip_skip = {skip} .*of 2 layers") as refused:
        SYSTEM.load(RANDOM, options, FrameSize(64, 64))
    assert "0 to 1" in refused.value.expected


def test_similarity_filter_is_off_by_default() -> None:
    assert not Live2DiffOptions().similarity

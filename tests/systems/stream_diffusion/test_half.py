"""Half-precision graphs as a stream, through black, white, grey and noise: finite, and as close as half is.

How close is asked of the literal reference: it is played in float16 by PyTorch, everything rounded, no island
anywhere, and its distance from itself in float32 is what half precision costs this network on these frames.
A graph rounds no more than that; twice of it leaves room for another order of the same roundings.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.hard_frames import FLAT, apart, hard_frames, hold_to_half
from support.micro_stream import CASES, SIZE, Bundles, micro_model
from v2v_runtime.stream import Stream

FRAMES = 16


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(tmp_path_factory.mktemp("half"), "float16")


@pytest.mark.parametrize("rows", CASES)
def test_stream(half: Bundles, rows: int) -> None:
    options = CASES[rows]
    model = micro_model(options)
    single, narrow = model.literal(torch.float32), model.literal(torch.float16)
    latents: list[tuple[float, float]] = []
    pictures: list[tuple[float, float]] = []
    scale = 0.0
    flat = 0
    with Stream(half.of(options)) as stream:
        for index, frame in enumerate(hard_frames(FRAMES, SIZE.height, SIZE.width)):
            shown = stream.push(frame)
            wanted, rounded = single.step(frame), narrow.step(frame)
            assert single.clean is not None
            assert narrow.clean is not None
            found = stream.peek("clean")
            assert np.isfinite(found).all(), index
            assert all(np.isfinite(value).all() for value in stream.slots().values()), index
            scale = max(scale, float(single.clean.abs().max()))
            latents.append((apart(found, single.clean), apart(narrow.clean, single.clean)))
            if wanted is None or rounded is None:
                assert not shown
                continue
            pictures.append((apart(shown[0].rgb8, wanted.rgb8), apart(rounded.rgb8, wanted.rgb8)))
            # Of a flat frame something is made: NaN cast to levels would be one level everywhere.
            source = index - (rows - 1)
            if source % 8 in range(4, 4 + len(FLAT)):
                flat += 1
                assert wanted.rgb8.std() > 1
                assert shown[0].rgb8.std() > 1, index
    assert flat >= 3
    hold_to_half(latents, pictures, 0.02 * scale)

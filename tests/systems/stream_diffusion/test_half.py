"""Half-precision graphs as a stream, through black, white, grey and noise: finite, and as close as half is.

How close is asked of the literal reference: it is played in float16 by PyTorch, everything rounded, no island
anywhere, and its distance from itself in float32 is what half precision costs this network on these frames.
A graph rounds no more than that; twice of it leaves room for another order of the same roundings.
"""

from __future__ import annotations

import pytest
import torch
from support.hard_frames import HalfPrecision, hard_frames
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
    cost = HalfPrecision()
    with Stream(half.of(options)) as stream:
        for index, frame in enumerate(hard_frames(FRAMES, SIZE.height, SIZE.width)):
            shown = stream.push(frame)
            wanted, coarse = single.step(frame), narrow.step(frame)
            assert single.clean is not None
            assert narrow.clean is not None
            cost.compare_latents(stream, "clean", single.clean, narrow.clean)
            if wanted is None or coarse is None:
                assert not shown
                continue
            cost.compare_picture(index - (rows - 1), shown[0].rgb8, wanted.rgb8, coarse.rgb8)
    cost.hold(flat=3, share=0.02)

"""Half-precision graphs as a stream, twice round the rings, through black, white, grey and noise.

How close they must be is asked of the literal reference in float16, as for StreamDiffusion: its own distance
from float32, everything rounded and no island anywhere, is what half precision costs. Its depth pictures are
float32's, since min-max magnifies what rounding leaves of a flat frame's depth without any bound.
"""

from __future__ import annotations

import pytest
import torch
from support.hard_frames import HalfPrecision, hard_frames
from support.micro_live2diff import SIZE, WARMUP, Bundles, chunks, decoded, micro_model, micro_options
from v2v_runtime import Stream

STEPS = 20


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(tmp_path_factory.mktemp("half"), "float16")


@pytest.mark.parametrize("rows", [2, 4])
def test_stream(half: Bundles, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = micro_model(micro_options(rows))
    single, narrow = model.reference(), model.literal(torch.float16)
    monkeypatch.setattr(narrow, "depth", lambda pictures: single.depth(pictures.float()).half())
    frames = hard_frames(WARMUP + STEPS, SIZE.height, SIZE.width)
    cost = HalfPrecision()
    with Stream(half.of(micro_options(rows))) as stream:
        for index, chunk in enumerate(chunks(frames)):
            shown = [output for frame in chunk for output in stream.push(frame)]
            (wanted, made), (coarse, coarsely) = decoded(single, chunk), decoded(narrow, chunk)
            cost.compare_latents(stream, "clean" if index else f"x_{rows}", wanted, coarse)
            assert len(shown) == len(made)
            for output, picture, other in zip(shown, made, coarsely, strict=True):
                cost.compare_picture(output.timestamp, output.rgb8, picture.rgb8, other.rgb8)
    cost.hold(flat=6, share=0.05)

"""Half-precision graphs as a stream, twice round the rings, through black, white, grey and noise.

How close they must be is asked of the literal reference in float16, as for StreamDiffusion: its own distance
from float32, everything rounded and no island anywhere, is what half precision costs. Its depth pictures are
float32's, since min-max magnifies what rounding leaves of a flat frame's depth without any bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.hard_frames import HalfPrecision, hard_frames
from support.micro_live2diff import SIZE, Bundles, micro_model, micro_options
from v2v_export.systems.live2diff.literal import LiteralStream
from v2v_runtime import Stream

WARMUP, STEPS = 8, 20


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(tmp_path_factory.mktemp("half"), "float16")


def decoded(literal: LiteralStream, chunk: NDArray[np.uint8]) -> tuple[NDArray[Any], Sequence[Any]]:
    made = literal.step(chunk)
    seen = literal.loop.seen
    assert seen is not None
    clean = seen.clean[-1] if len(chunk) == WARMUP else seen.clean[-1:]
    return clean.double().numpy(), made


@pytest.mark.parametrize("rows", [2, 4])
def test_stream(half: Bundles, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = micro_model(micro_options(rows))
    single, narrow = model.reference(), model.literal(torch.float16)
    monkeypatch.setattr(narrow, "depth", lambda pictures: single.depth(pictures.float()).half())
    frames = hard_frames(WARMUP + STEPS, SIZE.height, SIZE.width)
    cost = HalfPrecision()
    with Stream(half.of(micro_options(rows))) as stream:
        for start in (0, *range(WARMUP, WARMUP + STEPS)):
            chunk = frames[start : start + (1 if start else WARMUP)]
            shown = [output for frame in chunk for output in stream.push(frame)]
            (wanted, made), (coarse, coarsely) = decoded(single, chunk), decoded(narrow, chunk)
            cost.compare_latents(stream, "clean" if start else f"x_{rows}", wanted, coarse)
            assert len(shown) == len(made)
            for output, picture, other in zip(shown, made, coarsely, strict=True):
                cost.compare_picture(output.timestamp, output.rgb8, picture.rgb8, other.rgb8)
    cost.hold(flat=6, share=0.05)

"""Half-precision students as a stream, through black, white, grey and noise: finite, and as close as half is.

Guidance subtracts two predictions and multiplies what is left, rounding and all. How close is asked of the
literal stream in float16, as for StreamDiffusion (``systems/stream_diffusion/test_half``).
"""

from __future__ import annotations

import copy

import pytest
import torch
from support.hard_frames import HalfPrecision, hard_frames
from support.micro_std import SIZE, Bundles, micro_model, micro_options
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.reference import ReferenceStream
from v2v_runtime import Stream

FRAMES = 16

FORMS = {
    "loop-8": micro_options(8, mode="loop", guidance=6.0),
    "batched-4": micro_options(4, guidance=6.0),
}


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(tmp_path_factory.mktemp("half"), "float16")


def narrowed(stream: ReferenceStream) -> ReferenceStream:
    """The same in float16, from the start: everything rounded, no island anywhere."""
    unet, vae = (copy.deepcopy(network).half() for network in (stream.unet, stream.vae))
    made = ReferenceStream(unet, vae, stream.options, stream.conditioning, stream.noise)
    assert made.noise.dtype == torch.float16
    return made


@pytest.mark.parametrize("form", FORMS)
def test_stream(half: Bundles, form: str) -> None:
    options: StdOptions = FORMS[form]
    delay = options.steps - 1 if options.steps and options.mode == "batched" else 0
    single = micro_model(options).reference().stream
    narrow = narrowed(single)
    cost = HalfPrecision()
    with Stream(half.of(options)) as stream:
        for index, frame in enumerate(hard_frames(FRAMES, SIZE.height, SIZE.width)):
            shown = stream.push(frame)
            wanted, coarse = single.step(frame), narrow.step(frame)
            assert single.latent is not None
            assert narrow.latent is not None
            cost.compare_latents(stream, f"x_{options.steps}", single.latent, narrow.latent)
            assert len(shown) == (index >= delay)
            if wanted is not None and coarse is not None:
                cost.compare_picture(index - delay, shown[0].rgb8, wanted.rgb8, coarse.rgb8)
    cost.hold(flat=3, share=0.02)

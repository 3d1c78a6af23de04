"""A seed means the noise that the published code draws for it."""

from __future__ import annotations

import pytest
import torch
from support.stream_golden import case_tensors, cases, image_cases, unet_folder
from v2v_export.system import FrameSize
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions
from v2v_export.systems.stream_diffusion.tables import draw_noise


@pytest.mark.skipif(unet_folder() is None, reason="the trimmed set has corners of latents: set V2V_GOLDEN")
@pytest.mark.parametrize("name", image_cases(1))
def test_noise_is_the_published_one(name: str) -> None:
    expected, case = case_tensors(name)["init_noise"], cases()[name]
    options = StreamDiffusionOptions(t_index_list=tuple(case["t_index_list"]), seed=case["seed"])
    height, width = (8 * side for side in expected.shape[2:])
    assert torch.equal(torch.from_numpy(draw_noise(options, FrameSize(height, width))), expected)

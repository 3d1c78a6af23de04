"""Shapes of frames and latents, and the frame sizes that networks take."""

from __future__ import annotations

import subprocess
import sys

import pytest
from v2v_export.diffusion.configs import architecture
from v2v_export.diffusion.errors import GeometryError
from v2v_export.diffusion.geometry import (
    SideRule,
    check_frame_size,
    frame_spec,
    halved,
    latent_spec,
    picture_spec,
)
from v2v_export.diffusion.vae import half_parameters
from v2v_export.system import FrameSize

SIZE = FrameSize(512, 640)


def test_shapes() -> None:
    assert frame_spec(SIZE).shape == (1, 512, 640, 3)
    assert picture_spec(SIZE, 8).shape == (8, 3, 512, 640)
    assert latent_spec(SIZE, 2).shape == (2, 4, 64, 80)
    assert latent_spec(SIZE, 3, 16).shape == (3, 16, 4, 64, 80)
    assert (frame_spec(SIZE).dtype, latent_spec(SIZE, 1).dtype) == ("uint8", "float32")


@pytest.mark.parametrize(("name", "multiple"), [("sd15", 64), ("sd_turbo", 64), ("sdxl", 32)])
def test_a_rule_says_what_it_follows_from(name: str, multiple: int) -> None:
    """Three halvings of a latent in Stable Diffusion, two in SDXL, each after eight pixels per latent."""
    rule = halved(len(architecture(name).config["block_out_channels"]), name)
    assert rule.multiple == multiple
    check_frame_size(FrameSize(multiple, 5 * multiple), rule)
    with pytest.raises(
        GeometryError, match=rf"multiples of {multiple}: 8 pixels per latent.*in {name}'s UNet"
    ):
        check_frame_size(FrameSize(multiple, multiple + multiple // 2), rule)


@pytest.mark.parametrize(
    ("height", "width", "near"),
    [(500, 512, "512 x 512"), (543, 545, "512 x 576"), (8, 64, "64 x 64"), (0, 64, "64 x 64")],
)
def test_the_nearest_size_is_named(height: int, width: int, near: str) -> None:
    with pytest.raises(GeometryError) as caught:
        check_frame_size(FrameSize(height, width), SideRule(64, "it is so"), "or do without")
    assert caught.value.code == "V2V-E6121"
    assert f"{height} x {width}" in caught.value.seen
    assert caught.value.expected == "multiples of 64: it is so"
    assert caught.value.fix == f"use {near}; or do without"


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"),
    [
        # TAESD's published files hold as many: the same layers but for those at their ends.
        ("taesd", 1_222_532, 1_222_531),
        # Stable Diffusion's: 83653863 numbers, of which 34163592 encode, 72 and 20 are 1x1 convolutions.
        ("kl_sd", 34_163_592 + 72, 49_490_179 + 20),
    ],
)
def test_halves_of_an_autoencoder(name: str, encoder: int, decoder: int) -> None:
    assert half_parameters(architecture(name)) == (encoder, decoder)


@pytest.mark.parametrize(
    ("name", "side", "groups"),
    [("tiny_sd15", 8, 16), ("tiny_sd15", 8, 32), ("tiny_sd21", 8, 16), ("tiny_sdxl", 4, 16)],
)
def test_norms_of_the_narrow_networks_are_not_over_rounding(name: str, side: int, groups: int) -> None:
    """Latents of the smallest frame, halved from level to level, leave every group of a norm four numbers: of
    two nearly equal ones a norm makes their rounding large. The 32 groups are those of Live2Diff's modules,
    which follow a level's layers; the first norm of a level has the width of the one before it.
    """
    config = architecture(name).config
    widths = config["block_out_channels"]
    assert groups in (32, config["norm_num_groups"])
    numbers = [(side >> level) ** 2 * width / groups for level, width in enumerate(widths)]
    if groups != 32:
        numbers += [(side >> level + 1) ** 2 * width / groups for level, width in enumerate(widths[:-1])]
    assert side >> len(widths) - 1 == 1
    assert min(numbers) >= 4


def test_programs_need_no_torch() -> None:
    names = ("std.program", "stream_diffusion.program", "live2diff.options", "live2diff.layout")
    code = "; ".join(f"import v2v_export.systems.{name}" for name in names)
    code += "; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

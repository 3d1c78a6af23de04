"""Random weights: the published networks' sizes, one value per seed and name, activations of unit size."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from v2v_export.diffusion.configs import ARCHITECTURES, architecture, build, parameters
from v2v_export.diffusion.errors import WeightsError
from v2v_export.diffusion.precision import in_precision
from v2v_export.diffusion.random_weights import random_state, random_tensors

PUBLISHED = {
    "sd15": 859_520_964,
    "sd21": 865_910_724,
    "sd_turbo": 865_910_724,
    "sdxl": 2_567_463_684,
    "kl_sd": 83_653_863,
    "kl_sdxl": 83_653_863,
    "taesd": 2_445_063,
    "taesdxl": 2_445_063,
    "clip_l": 123_060_480,
    "open_clip_h": 340_387_840,
    "open_clip_bigg": 694_659_840,
}
"""Parameters as the model cards and papers tell them."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_real_networks_have_their_published_size(name: str) -> None:
    assert parameters(architecture(name)) == PUBLISHED[name]


def test_an_unknown_architecture() -> None:
    with pytest.raises(WeightsError) as caught:
        architecture("sd3")
    assert caught.value.code == "V2V-E6107"
    assert "sd15" in str(caught.value)


def test_values_depend_on_seed_and_name_alone() -> None:
    of = ARCHITECTURES["tiny_sd15"]
    first, again, other = random_state(of, 0), random_state(of, 0), random_state(of, 1)
    few = random_state(of, 0, lambda name: "attn2" in name)
    shape = torch.empty(first["conv_in.weight"].shape, device="meta")
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)
    assert few.keys() == {key for key in first if "attn2" in key}
    assert all(torch.equal(first[key], few[key]) for key in few)
    assert torch.equal(
        random_tensors({"conv_in.weight": shape}, 0)["conv_in.weight"], first["conv_in.weight"]
    )


def test_numbers_are_those_of_pcg64() -> None:
    """What the module's docstring promises, by numpy's documented parts: one stream per seed and name."""
    shape = (64, 32, 3, 3)
    made = random_tensors({"a.weight": torch.empty(shape, device="meta")}, 7)["a.weight"]
    seeds = np.random.SeedSequence([7, zlib.crc32(b"a.weight")])
    levels = np.random.Generator(np.random.PCG64(seeds)).integers(0, 65536, shape, dtype=np.uint16)
    wanted = (levels.astype(np.float64) - 32767.5) / 65536 * math.sqrt(12 / (32 * 9))
    assert made.dtype == torch.float16
    assert np.abs(made.double().numpy() - wanted).max() < 1e-4


def test_scales_by_kind_of_tensor() -> None:
    shapes = {
        "a.conv1.weight": (400, 100, 3, 3),
        "a.conv2.weight": (400, 100, 3, 3),
        "a.norm1.weight": (4000,),
        "a.conv1.bias": (4000,),
        "token_embedding.weight": (400, 100),
    }
    made = random_tensors({key: torch.empty(shape, device="meta") for key, shape in shapes.items()}, 0)
    found = {key: (float(item.float().mean()), float(item.float().std())) for key, item in made.items()}
    for (key, (mean, std)), wanted in zip(
        found.items(), ((0, 1 / 30), (0, 0.5 / 30), (1, 0.1), (0, 0.02), (0, 0.5)), strict=True
    ):
        assert abs(mean - wanted[0]) < 0.01, key
        assert abs(std / wanted[1] - 1) < 0.03, key


@pytest.mark.parametrize("name", ["tiny_taesd", "taesd", "tiny_kl"])
def test_pictures_pass_through_an_autoencoder_neither_black_nor_white(
    name: str, literal: Callable[..., Any]
) -> None:
    vae = literal(name)
    rough = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    picture = torch.nn.functional.interpolate(rough, (64, 64), mode="bicubic").clamp(-1, 1)
    made = vae.encode(picture)
    latent = made.latent_dist.mean if hasattr(made, "latent_dist") else made.latents
    back = vae.decode(latent).sample
    assert 0.1 < latent.std() < 10
    assert 0.05 < back.std() < 1.5
    assert (back.abs() < 1).float().mean() > 0.5


def test_weights_that_half_precision_cannot_hold() -> None:
    network = build(ARCHITECTURES["tiny_taesd"], "cpu")
    network.encoder.layers[0].weight[0, 0, 0, 0] = 7e4  # type: ignore[index, union-attr]  # a Sequential
    assert in_precision(network, torch.float32).encoder.layers[0].weight.max() == 7e4  # type: ignore[index, union-attr]
    with pytest.raises(WeightsError) as caught:
        in_precision(network, torch.float16)
    assert caught.value.code == "V2V-E6108"
    assert "encoder.layers.0.weight reaches 70000" in str(caught.value)

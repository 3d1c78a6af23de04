"""The ends of a stream against diffusers' autoencoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from v2v_export.diffusion.configs import ARCHITECTURES, Architecture, build
from v2v_export.diffusion.errors import GeometryError, WeightsError
from v2v_export.diffusion.pictures import to_levels, to_picture
from v2v_export.diffusion.vae import SHARE, Decoder, Encoder

Literal = Callable[..., Any]
NAMES = ("tiny_taesd", "tiny_kl")


def frames(height: int = 64, width: int = 48, count: int = 2) -> Tensor:
    """uint8 noise over a smooth picture, so that every level occurs."""
    rng = np.random.default_rng(1)
    ramp = np.linspace(0, 255, height * width * 3).reshape(1, height, width, 3)
    return torch.from_numpy(
        np.clip(ramp + rng.normal(0, 40, (count, height, width, 3)), 0, 255).astype("uint8")
    )


def pictures(given: Tensor) -> Tensor:
    return torch.from_numpy(given.numpy().astype(np.float32) / 255 * 2 - 1).permute(0, 3, 1, 2)


def encoded(vae: Any, given: Tensor) -> Tensor:
    """diffusers' latents, scaled for the UNet."""
    made = vae.encode(pictures(given))
    latent: Tensor = made.latent_dist.mean if hasattr(made, "latent_dist") else made.latents
    return latent * vae.config.scaling_factor


@pytest.mark.parametrize("name", NAMES)
def test_frames_become_latents(name: str, literal: Literal) -> None:
    vae, given = literal(name), frames()
    found, wanted = Encoder(vae)(given), encoded(vae, given)
    assert found.shape == (2, 4, 8, 6)
    assert wanted.std() > 0.05
    assert (found - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_latents_become_frames(name: str, literal: Literal) -> None:
    vae = literal(name)
    latent = 4 * torch.randn(2, 4, 8, 6, generator=torch.Generator().manual_seed(0))
    levels, picture = Decoder(vae)(latent)
    wanted = vae.decode(latent / vae.config.scaling_factor).sample
    assert wanted.std() > 0.1
    assert (picture - wanted.clamp(-1, 1)).abs().max() < 2e-5
    # As diffusers' image processor makes levels of it.
    exact = (wanted / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy() * 255
    near_a_half = np.abs(exact % 1 - 0.5) < 5e-3
    assert np.array_equal(levels.numpy()[~near_a_half], exact.round()[~near_a_half])
    assert levels.dtype == torch.uint8
    assert np.abs(levels.numpy().astype(int) - exact).max() < 0.51


@pytest.mark.parametrize("name", NAMES)
def test_the_scale_and_shift_of_the_configuration_count(name: str, literal: Literal) -> None:
    vae, given = literal(name), frames()
    plain = Encoder(vae)(given) / vae.config.scaling_factor
    vae.register_to_config(scaling_factor=0.5, shift_factor=0.25)
    found = Encoder(vae)(given)
    assert (found - (plain - 0.25) * 0.5).abs().max() < 1e-6
    back = Decoder(vae)(found)[1]
    assert (back - vae.decode(found / 0.5 + 0.25).sample.clamp(-1, 1)).abs().max() < 1e-5


def large(literal: Literal, factor: float) -> Any:
    """A KL autoencoder whose stream between the layers is ``factor`` times as large as usual."""
    vae = literal("tiny_kl")
    for part in (vae.encoder, vae.decoder):
        part.conv_in.weight *= factor
        part.conv_in.bias *= factor
        for name, module in part.named_modules():
            if name.endswith(("conv2", "to_out.0")):
                module.weight *= factor
                module.bias *= factor
    vae.register_to_config(force_upcast=True)
    return vae


def test_a_stream_past_half_precisions_range_stays_finite(literal: Literal) -> None:
    """As in SDXL's autoencoder. Without ``force_upcast`` the same weights break: the case is a real one."""
    vae, given = large(literal, 4e4), frames(32, 32, 1)
    wanted = encoded(vae, given)
    latent = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0)) * vae.config.scaling_factor
    picture = vae.decode(latent / vae.config.scaling_factor).sample.clamp(-1, 1)
    seen = []
    hook = vae.decoder.mid_block.register_forward_hook(lambda module, args, out: seen.append(out.abs().max()))
    vae.decode(latent / vae.config.scaling_factor)
    hook.remove()
    assert seen[0] > 65504
    found, made = Encoder(vae, torch.float16)(given), Decoder(vae, torch.float16)(latent.half())[1]
    assert (found.float() - wanted).abs().max() < 2e-2 * wanted.abs().max()
    assert (made - picture).abs().max() < 3e-2
    vae.register_to_config(force_upcast=False)
    assert not torch.isfinite(Decoder(vae, torch.float16)(latent.half())[1]).all()


def test_the_share_changes_nothing_in_float32(literal: Literal) -> None:
    vae, given = literal("tiny_kl"), frames()
    whole, part = Encoder(vae), Encoder(vae)
    part.share = SHARE
    assert (part(given) - whole(given)).abs().max() < 1e-6
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    full, less = Decoder(vae), Decoder(vae)
    less.share = SHARE
    assert (less.decode(latent) - full.decode(latent)).abs().max() < 1e-5


def test_every_level_comes_back() -> None:
    every = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 16, 16, 3)
    for dtype in (torch.float32, torch.float16):
        levels, picture = to_levels(to_picture(every, dtype))
        assert torch.equal(levels, every)
        assert picture.dtype == torch.float32
    assert to_picture(every, torch.float32).min() == -1
    assert to_picture(every, torch.float32).max() == 1


def test_rounding_and_clamping() -> None:
    def level(value: float) -> int:
        return int(to_levels(torch.full((1, 3, 1, 1), value))[0][0, 0, 0, 0])

    assert [level(-3.0), level(3.0)] == [0, 255]
    assert [level(0.4 / 127.5 - 1), level(0.6 / 127.5 - 1)] == [0, 1]
    assert level(0.0) == 128  # 127.5, to the even level
    _, picture = to_levels(torch.full((1, 3, 1, 1), torch.nan))
    assert picture.isnan().all()


@pytest.mark.parametrize(("height", "width"), [(60, 64), (64, 7)])
def test_sizes_that_are_no_multiples_of_eight(height: int, width: int, literal: Literal) -> None:
    with pytest.raises(GeometryError) as caught:
        Encoder(literal("tiny_taesd"))(torch.zeros(1, height, width, 3, dtype=torch.uint8))
    assert caught.value.code == "V2V-E6121"
    assert f"{height} x {width}" in str(caught.value)


def test_another_network() -> None:
    unet = build(ARCHITECTURES["tiny_sd15"])
    for kind in (Encoder, Decoder):
        with pytest.raises(WeightsError) as caught:
            kind(unet)
        assert caught.value.code == "V2V-E6107"


def test_an_autoencoder_without_the_convolutions_around_its_latents(literal: Literal) -> None:
    of = ARCHITECTURES["tiny_kl"]
    bare = Architecture("bare", "kl", {**of.config, "use_quant_conv": False, "use_post_quant_conv": False})
    vae: Any = build(bare, "cpu")
    vae.load_state_dict(
        {key: item for key, item in literal("tiny_kl").state_dict().items() if "quant" not in key}
    )
    given = frames()
    assert (Encoder(vae)(given) - encoded(vae, given)).abs().max() < 1e-5

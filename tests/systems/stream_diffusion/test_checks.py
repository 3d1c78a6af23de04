"""What no stream can be made of is refused with words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from v2v_export.errors import V2VError
from v2v_export.levers import levers
from v2v_export.system import FrameSize
from v2v_export.systems.stream_diffusion import SYSTEM
from v2v_export.systems.stream_diffusion.options import Architecture, StreamDiffusionOptions
from v2v_export.weights import Weights

TINY: dict[str, Any] = {"architecture": "tiny_sd15", "vae": "tiny_taesd", "text": "a lake"}


def refused(
    code: str, words: str, size: tuple[int, int] = (64, 64), weights: Any = None, **options: Any
) -> None:
    with pytest.raises(V2VError) as caught:
        SYSTEM.load(
            weights or {"base": "random:0"}, StreamDiffusionOptions(**{**TINY, **options}), FrameSize(*size)
        )
    assert caught.value.code == code
    assert re.search(words, str(caught.value), re.DOTALL), str(caught.value)


@pytest.mark.parametrize(
    "indices", [(), (45, 32), (32, 32), (-1, 32), (32, 50), (50,)], ids=lambda item: str(item)
)
def test_indices_that_do_not_rise_from_0_to_49(indices: tuple[int, ...]) -> None:
    refused("V2V-E6154", "rising, from 0 to 49", t_index_list=indices)


def test_too_many_rows() -> None:
    refused("V2V-E6122", "t_index_list: 9 .*at most 8.*1 to 4 entries", t_index_list=tuple(range(9)))


def test_guidance_without_an_unconditional_prediction() -> None:
    refused("V2V-E6211", 'cfg "none".*set cfg to "self"', guidance=1.4)


@pytest.mark.parametrize("sampler", ["lcm", "ddim", "turbo"])
def test_gamma_without_tcd(sampler: str) -> None:
    refused("V2V-E6212", f'gamma 0.3 with sampler "{sampler}".*sampler = "tcd"', sampler=sampler, gamma=0.3)


@pytest.mark.parametrize(("sampler", "fix"), [("tcd", "gamma = 0"), ("ddim", "remove"), ("turbo", "remove")])
def test_no_added_noise_where_the_sampler_says_it(sampler: str, fix: str) -> None:
    refused(
        "V2V-E6212", f'add_noise = false with sampler "{sampler}".*{fix}', sampler=sampler, add_noise=False
    )


@pytest.mark.parametrize("gamma", [-0.1, 1.1])
def test_gamma_out_of_range(gamma: float) -> None:
    refused("V2V-E6151", "0 .*to 1", sampler="tcd", gamma=gamma)


def test_negative_prompt_without_an_unconditional_row() -> None:
    refused("V2V-E6211", 'negative_text with cfg "self"', cfg="self", negative_text="grey")


@pytest.mark.parametrize(
    ("size", "near"), [((480, 512), "512 x 512"), ((64, 100), "64 x 128"), ((8, 64), "64 x 64")]
)
def test_sizes_that_the_unet_cannot_halve(size: tuple[int, int], near: str) -> None:
    refused("V2V-E6121", f"multiples of 64.*{near}", size)


def test_sdxl_takes_multiples_of_32() -> None:
    refused("V2V-E6121", "multiples of 32", (64, 80), architecture="tiny_sdxl")
    options = StreamDiffusionOptions(**{**TINY, "architecture": "tiny_sdxl"})
    assert SYSTEM.load({"base": "random:0"}, options, FrameSize(64, 96))


def test_embeddings_that_tokens_have_no_use_for() -> None:
    refused(
        "V2V-E6214",
        'prompt = "embeddings"',
        weights={"base": "random:0", "prompt": "/nowhere.safetensors"},
    )


@pytest.mark.parametrize("prompt", ["tokens", "embeddings"])
@pytest.mark.parametrize(
    ("skip", "architecture", "range_"),
    [(2, "tiny_sd15", "0 to 1"), (-1, "tiny_sd15", "0 to 1"), (1, "tiny_sdxl", "0 to 0")],
)
def test_a_clip_skip_that_leaves_no_layer(prompt: str, skip: int, architecture: str, range_: str) -> None:
    """The tiny text encoders have two layers, of which SDXL leaves out one."""
    refused(
        "V2V-E6160",
        f"clip_skip = {skip} .*{range_} ",
        prompt=prompt,
        clip_skip=skip,
        architecture=architecture,
    )


def test_a_prompt_that_is_too_long_says_what_is_cut() -> None:
    """The tiny vocabulary has each letter as a word of its own: 80 tokens, of which 75 stand between the
    encoder's start and end."""
    letters = [chr(ord("a") + index % 26) for index in range(80)]
    options = StreamDiffusionOptions(**{**TINY, "text": " ".join(letters)})
    model = SYSTEM.load({"base": "random:0"}, options, FrameSize(64, 64))
    with pytest.raises(V2VError) as caught:
        model.blobs()
    assert caught.value.code == "V2V-E6166"
    assert "80 tokens, 5 too many: from 'x y z a b' on" in caught.value.seen
    assert caught.value.expected.startswith("at most 75 tokens")


@pytest.mark.parametrize(
    ("architecture", "vae", "fit"),
    [
        ("sdxl", "taesd", "taesdxl"),
        ("sdxl", "kl_sd", "taesdxl"),
        ("sd15", "taesdxl", "taesd"),
        ("sd_turbo", "kl_sdxl", "taesd"),
        ("tiny_sdxl", "taesdxl", "tiny_taesd"),
    ],
)
def test_an_autoencoder_of_other_latents(architecture: str, vae: str, fit: str) -> None:
    """Equal in shape: nothing in the weights would tell."""
    refused(
        "V2V-E6215",
        f'vae "{vae}" with architecture "{architecture}".*set vae = "{fit}"',
        architecture=architecture,
        vae=vae,
    )


@pytest.mark.parametrize(
    ("architecture", "small"),
    [
        ("sd15", "taesd"),
        ("sd21", "taesd"),
        ("sd_turbo", "taesd"),
        ("sdxl", "taesdxl"),
        ("tiny_sd15", "tiny_taesd"),
    ],
)
def test_without_a_vae_it_is_the_taesd_of_the_architecture(
    architecture: Architecture, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def opened(weights: Weights, *, vae: str, **_: object) -> None:
        asked.append(vae)
        raise StopIteration

    monkeypatch.setattr("v2v_export.systems.stream_diffusion.stream.open_networks", opened)
    options = StreamDiffusionOptions(architecture=architecture, text="a lake")
    with pytest.raises(StopIteration):
        SYSTEM.load({"base": "random:0"}, options, FrameSize(512, 512))
    assert asked == [small]
    assert not any("vae" in advice for texts in levers(options).values() for advice in texts)


def test_threshold_of_the_filter() -> None:
    options = StreamDiffusionOptions(**TINY, similarity=True, similarity_threshold=1.5)
    with pytest.raises(V2VError) as caught:
        SYSTEM.load({"base": "random:0"}, options, FrameSize(64, 64)).program()
    assert caught.value.code == "V2V-E6171"


@pytest.mark.parametrize("shape", [(64, 64, 4), (64, 128, 3), (128, 64, 3)])
def test_frames_of_another_shape(shape: tuple[int, ...]) -> None:
    import numpy as np

    reference = SYSTEM.load(
        {"base": "random:0"}, StreamDiffusionOptions(**TINY), FrameSize(64, 64)
    ).reference()
    with pytest.raises(V2VError) as caught:
        reference.step(np.zeros((1, *shape), np.uint8))
    assert caught.value.code == "V2V-E6213"

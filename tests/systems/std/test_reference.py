"""The literal stream: against diffusers' own pipeline, and its two modes against each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, TCDScheduler
from systems.std.conftest import SIZE, clip, conditioning, network, start_noise
from torch import Tensor, nn
from v2v_export.systems.std.errors import StudentOptionError
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.reference import ReferenceStream
from v2v_export.systems.std.schedule import scheduler_steps, strength_and_steps

FOUR = StdOptions(strength=0.75, steps=4)


def latents(stream: ReferenceStream, frames: np.ndarray) -> list[Tensor]:
    made = []
    for frame in frames:
        stream.step(frame)
        assert stream.latent is not None
        made.append(stream.latent)
    return made


@pytest.mark.parametrize("options", [FOUR, StdOptions(strength=0.95, steps=8, guidance=2.5)])
@pytest.mark.parametrize("autoencoder", ["tiny_taesd", "tiny_kl"])
def test_a_frame_is_what_the_image_to_image_pipeline_makes(
    options: StdOptions, autoencoder: str, unet: nn.Module
) -> None:
    vae = network(autoencoder)
    told = conditioning()
    pipeline = StableDiffusionXLImg2ImgPipeline(
        vae=vae,
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        unet=unet,
        scheduler=TCDScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
        add_watermarker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    frame = clip(1)[0]
    stream = ReferenceStream(unet, vae, options, told, start_noise())
    # The pipeline takes a latent as an image; then it draws nothing but the start noise.
    with torch.no_grad():
        z = stream.encode(frame)
    result = pipeline(
        image=z,
        strength=options.strength,
        num_inference_steps=scheduler_steps(*strength_and_steps(options)),
        guidance_scale=options.guidance,
        generator=torch.Generator().manual_seed(0),
        prompt_embeds=told.embeds[1:],
        negative_prompt_embeds=told.embeds[:1],
        pooled_prompt_embeds=told.pooled[1:],
        negative_pooled_prompt_embeds=told.pooled[:1],
        original_size=(SIZE, SIZE),
        target_size=(SIZE, SIZE),
        output_type="np",
        eta=0.0,
    ).images[0]
    made = stream.step(frame)
    assert made is not None
    assert np.abs((made.float.transpose(1, 2, 0) + 1) / 2 - result).max() < 1e-5
    assert np.abs(made.rgb8.astype(int) - np.round(result * 255)).max() <= 1


@pytest.mark.parametrize("steps", [4, 1])
def test_batched_rows_walk_the_same_trajectories(steps: int, unet: nn.Module, vae: nn.Module) -> None:
    options, frames = replace(FOUR, steps=steps), clip(8)
    loop = ReferenceStream(unet, vae, options, conditioning(), start_noise())
    batched = ReferenceStream(unet, vae, replace(options, mode="batched"), conditioning(), start_noise())
    expected, delayed = latents(loop, frames), latents(batched, frames)
    for late, early in zip(delayed[steps - 1 :], expected, strict=False):
        # The same numbers in the same order: equal to the last bit.
        assert torch.equal(late, early)
    batched.reset()
    assert [batched.step(frame) is None for frame in frames] == [True] * (steps - 1) + [False] * (9 - steps)


def test_guidance_and_prompt_matter(unet: nn.Module, vae: nn.Module) -> None:
    frame = clip(1)[0]
    stream = ReferenceStream(unet, vae, FOUR, conditioning(), start_noise())
    (plain,) = latents(stream, frame[None])
    stream.guidance = 1.5
    (weak,) = latents(stream, frame[None])
    stream.guidance = FOUR.guidance
    stream.condition(conditioning(1))
    (other,) = latents(stream, frame[None])
    assert (plain - weak).abs().max() > 1e-2
    assert (plain - other).abs().max() > 1e-2


@pytest.mark.parametrize("bad", [np.zeros((64, 64, 3), np.float32), np.zeros((64, 64), np.uint8), None])
def test_frames_of_another_kind_are_refused(bad: object, unet: nn.Module, vae: nn.Module) -> None:
    stream = ReferenceStream(unet, vae, FOUR, conditioning(), start_noise())
    with pytest.raises(StudentOptionError, match="V2V-E6232"):
        stream.step(bad)  # type: ignore[arg-type]  # what is tested

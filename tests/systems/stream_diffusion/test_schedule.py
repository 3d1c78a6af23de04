"""The literal schedule against the authors' numbers and against diffusers' scheduler."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, LCMScheduler, TCDScheduler
from golden_data import golden_tensors
from support.stream_golden import SET
from v2v_export.systems.stream_diffusion.schedule import INDICES, LcmSteps, literal_steps


def test_all_indices_are_the_authors() -> None:
    golden = golden_tensors(SET, "schedule")
    steps = literal_steps(range(INDICES), torch.float64)
    assert isinstance(steps, LcmSteps)
    assert steps.timesteps.tolist() == golden["timesteps"].tolist()
    # All within [0, 1]; theirs are products accumulated in float32.
    pairs = (("alpha", "alpha_prod_t_sqrt"), ("beta", "beta_prod_t_sqrt"), ("c_out", "c_out"))
    for ours, theirs in pairs:
        seen, expected = getattr(steps, ours).flatten(), golden[theirs].double()
        assert float((seen - expected).abs().max()) < 1e-6, theirs
    assert torch.allclose(steps.c_skip.flatten(), golden["c_skip"].double(), rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("t_index_list", [(0,), (32, 45), (30, 35, 40, 45), (49,)])
def test_a_step_is_that_of_diffusers(t_index_list: tuple[int, ...]) -> None:
    """LCMScheduler.step's denoised sample, on a sample and a prediction of its own."""
    scheduler = LCMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    scheduler.set_timesteps(INDICES, original_inference_steps=INDICES)
    generator = torch.Generator().manual_seed(0)
    sample, eps = torch.randn((2, 1, 4, 3, 3), generator=generator, dtype=torch.float64)
    steps = literal_steps(t_index_list, torch.float64)
    assert isinstance(steps, LcmSteps)
    for row, index in enumerate(t_index_list):
        timestep = scheduler.timesteps[index]
        assert int(timestep) == int(steps.timesteps[row])
        expected = scheduler.step(eps, timestep, sample).denoised
        clean = (sample - steps.beta[row] * eps) / steps.alpha[row]
        seen = steps.c_out[row] * clean + steps.c_skip[row] * sample
        assert float((seen - expected).abs().max() / expected.abs().max()) < 2e-6


BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LIST = (30, 35, 45)
TIMES = [399, 299, 99]


def latents() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A latent, predictions for its three steps, and noise for the two between them, float64."""
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn((6, 4, 3, 3), generator=generator, dtype=torch.float64)
    return drawn[:1], drawn[1:4], drawn[4:]


def carried(sampler: Any, gamma: float = 0.3) -> list[torch.Tensor]:
    """One latent through all rows, as batched denoising carries it from call to call."""
    x, eps, noise = latents()
    steps = literal_steps(LIST, torch.float64, sampler, gamma)
    assert steps.timesteps.tolist() == TIMES
    seen = [x]
    for row in range(len(LIST) - 1):
        # The other rows hold something else; a row must not see them.
        batch = torch.full((2, 4, 3, 3), 1e3, dtype=torch.float64)
        batch[row] = seen[-1][0]
        seen.append(steps.onward(batch, eps[:2], noise)[row : row + 1])
    return [*seen[1:], steps.result(seen[-1], eps[2:])]


def close(seen: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert len(seen) == len(expected)
    for ours, theirs in zip(seen, expected, strict=True):
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < 2e-6


def test_ddim_is_that_of_diffusers() -> None:
    """Its number of steps is set before each: where a step leads is ``timestep - 1000 // number``."""
    x, eps, _ = latents()
    expected = []
    for row, (time, target) in enumerate(zip(TIMES, [*TIMES[1:], -1], strict=True)):
        scheduler = DDIMScheduler(**BETAS, set_alpha_to_one=False, clip_sample=False)
        scheduler.set_timesteps(50)
        scheduler.num_inference_steps = 1000 // (time - target)
        x = scheduler.step(eps[row : row + 1], time, x).prev_sample
        expected.append(x)
    close(carried("ddim"), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_tcd_is_that_of_diffusers(gamma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    x, eps, noise = latents()
    scheduler = TCDScheduler(**BETAS)
    scheduler.set_timesteps(timesteps=TIMES)
    draws = iter(noise)
    monkeypatch.setattr(
        "diffusers.schedulers.scheduling_tcd.randn_tensor", lambda *args, **more: next(draws)[None]
    )
    expected = []
    for row, time in enumerate(TIMES):
        x = scheduler.step(eps[row : row + 1], time, x, eta=gamma).prev_sample
        expected.append(x)
    close(carried("tcd", gamma), expected)


def test_turbo_is_the_euler_sampler_of_diffusers() -> None:
    """It keeps latents over alpha."""
    x, eps, _ = latents()
    scheduler = EulerDiscreteScheduler(**BETAS, timestep_spacing="trailing")
    scheduler.set_timesteps(timesteps=TIMES)
    steps = literal_steps(LIST, torch.float64, "turbo")
    x, expected = x / steps.alpha[0], []
    for row, time in enumerate(scheduler.timesteps):
        x = scheduler.step(eps[row : row + 1], time, x).prev_sample
        alpha = steps.alpha[row + 1] if row < 2 else 1.0
        expected.append(x * alpha)
    close(carried("turbo"), expected)


def test_one_step_of_turbo_is_the_clean_latent_itself() -> None:
    """SD-Turbo: timestep 999, where 0.0047 of the picture's power is left, to x0."""
    x, eps, _ = latents()
    steps = literal_steps((0,), torch.float64, "turbo")
    assert steps.timesteps.tolist() == [999]
    left = 0.00466  # abar at 999: prod(1 - beta)
    x0 = (x - (1 - left) ** 0.5 * eps[:1]) / left**0.5
    assert float((steps.result(x, eps[:1]) - x0).abs().max() / x0.abs().max()) < 2e-3

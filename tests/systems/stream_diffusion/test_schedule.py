"""The literal schedule against the authors' numbers and against diffusers' scheduler."""

from __future__ import annotations

import pytest
import torch
from diffusers import LCMScheduler
from golden_data import golden_tensors
from support.stream_golden import SET
from v2v_export.systems.stream_diffusion.schedule import INDICES, literal_steps


def test_all_indices_are_the_authors() -> None:
    golden = golden_tensors(SET, "schedule")
    steps = literal_steps(range(INDICES), torch.float64)
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
    for row, index in enumerate(t_index_list):
        timestep = scheduler.timesteps[index]
        assert int(timestep) == int(steps.timesteps[row])
        expected = scheduler.step(eps, timestep, sample).denoised
        clean = (sample - steps.beta[row] * eps) / steps.alpha[row]
        seen = steps.c_out[row] * clean + steps.c_skip[row] * sample
        assert float((seen - expected).abs().max() / expected.abs().max()) < 2e-6

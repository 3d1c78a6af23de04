"""Every sampler's table, step by step, against the scheduler of diffusers that it stands for.

diffusers computes in float32; the latents and outputs here are float64, so its own coefficients are what is
rounded, and 1e-6 relative holds both to the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, LCMScheduler, TCDScheduler
from golden_data import golden_folder
from numpy.typing import NDArray
from safetensors.numpy import load_file
from support.stream_golden import cases, image_cases
from v2v_export.diffusion.samplers import (
    NoiseSchedule,
    Prediction,
    SamplerError,
    Table,
    ddim,
    distilled,
    indexed,
    lcm,
    leading,
    listed,
    tcd,
    trailing,
    turbo,
)

Array = NDArray[np.float64]
PREDICTIONS: list[Prediction] = ["epsilon", "sample", "v_prediction"]
SHAPE = (1, 4, 6, 5)
BETAS = {"beta_start": 0.00085, "beta_end": 0.012}


def draws(count: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((count, *SHAPE))


def close(ours: Array, theirs: torch.Tensor) -> None:
    expected = theirs.numpy()
    assert np.abs(ours - expected).max() <= 1e-6 * np.abs(expected).max()


def follow(table: Table, scheduler: Any, monkeypatch: pytest.MonkeyPatch, module: str, **step: Any) -> None:
    """Plays the table beside a scheduler that was given its timesteps, from the same start and noise."""
    outputs, noises = draws(len(table), 1), draws(len(table), 2)
    latent, start = draws(2, 3)
    queue = iter(noises)
    monkeypatch.setattr(
        f"diffusers.schedulers.scheduling_{module}.randn_tensor",
        lambda *args, **kwargs: torch.from_numpy(next(queue)),
    )
    timesteps = torch.from_numpy(table.timesteps)
    theirs = scheduler.add_noise(torch.from_numpy(latent), torch.from_numpy(start), timesteps[:1])
    ours = table.start[0] * latent + table.start[1] * start
    close(ours, theirs)
    for k, o in enumerate(outputs):
        # Both sides go on from one latent: what is compared is each step, not a sum of roundings.
        before = ours
        result = scheduler.step(torch.from_numpy(o), timesteps[k], torch.from_numpy(before), **step)
        ours = table.a[k] * before + table.b[k] * o + table.c[k] * noises[k]
        close(ours, result.prev_sample)
        clean = getattr(result, "denoised", getattr(result, "pred_original_sample", None))
        if clean is not None:
            close(table.clean_a[k] * before + table.clean_b[k] * o, clean)


@pytest.mark.parametrize("spacing", ["scaled_linear", "linear"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(("steps", "strength"), [(4, 1.0), (4, 0.5), (8, 1.0), (1, 1.0), (50, 1.0)])
def test_lcm(
    steps: int, strength: float, prediction: Prediction, spacing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = LCMScheduler(**BETAS, beta_schedule=spacing, prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(steps)
    timesteps = distilled(steps, strength)
    scheduler.set_begin_index(steps - len(timesteps))
    table = lcm(timesteps, NoiseSchedule.from_config({**BETAS, "beta_schedule": spacing}), prediction)
    follow(table, scheduler, monkeypatch, "lcm")
    assert table.stochastic == (len(table) > 1)


@pytest.mark.parametrize("indices", [[32], [32, 45], [30, 35, 40, 45], [0, 16, 32, 45]])
def test_lcm_at_a_list_of_indices(indices: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    table = lcm(indexed(indices))
    scheduler = LCMScheduler(**BETAS, clip_sample=False)
    scheduler.set_timesteps(timesteps=table.timesteps.tolist())
    follow(table, scheduler, monkeypatch, "lcm")


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(("steps", "strength"), [(4, 1.0), (11, 0.75), (9, 0.95), (1, 1.0), (50, 1.0)])
def test_tcd(
    steps: int, strength: float, prediction: Prediction, gamma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = TCDScheduler(**BETAS, prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(steps)
    timesteps = distilled(steps, strength)
    scheduler.set_begin_index(steps - len(timesteps))
    table = tcd(timesteps, gamma, prediction=prediction)
    follow(table, scheduler, monkeypatch, "tcd", eta=gamma)
    assert table.stochastic == (gamma > 0 and len(table) > 1)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("end_clean", [False, True])
@pytest.mark.parametrize(("spacing", "steps", "strength"), [("leading", 20, 0.5), ("trailing", 7, 1.0)])
def test_ddim(
    spacing: str,
    steps: int,
    strength: float,
    end_clean: bool,
    prediction: Prediction,
    eta: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scheduler = DDIMScheduler(
        **BETAS,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        clip_sample=False,
        set_alpha_to_one=end_clean,
        steps_offset=1,
        timestep_spacing=spacing,
    )
    # At the last timesteps its float32 ``1 - abar_u - sigma^2`` keeps four digits; from the same schedule in
    # float64, its own code is the judge there too.
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    scheduler.final_alpha_cumprod = scheduler.final_alpha_cumprod.double()
    scheduler.set_timesteps(steps)
    timesteps = leading(steps, strength) if spacing == "leading" else trailing(steps, strength)
    table = ddim(timesteps, eta, prediction=prediction, end_clean=end_clean)
    follow(table, scheduler, monkeypatch, "ddim", eta=eta)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_turbo_is_euler(steps: int, prediction: Prediction) -> None:
    """SD-Turbo's scheduler works on ``x / alpha``, whose noise has deviation sigma = beta / alpha."""
    scheduler = EulerDiscreteScheduler(
        **BETAS,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(steps)
    table = turbo(trailing(steps), prediction=prediction)
    assert table.timesteps.tolist() == scheduler.timesteps.tolist()
    outputs = draws(steps, 4)
    x = draws(1, 5)[0]
    alphas = [*table.alpha, 1.0]
    for k, o in enumerate(outputs):
        theirs = torch.from_numpy(x / alphas[k])
        seen = scheduler.scale_model_input(theirs, scheduler.timesteps[k])
        close(x, seen)
        theirs = scheduler.step(torch.from_numpy(o), scheduler.timesteps[k], theirs).prev_sample
        x = table.a[k] * x + table.b[k] * o + table.c[k]
        close(x, theirs * alphas[k + 1])
    assert not table.stochastic


def test_one_turbo_step_is_the_clean_latent() -> None:
    """By hand, from the published schedule: at 999 alpha = .068265 and beta = .997667."""
    stored = load_file(golden_folder("streamdiffusion") / "schedule.safetensors")
    (last,) = np.flatnonzero(stored["timesteps"] == 999)
    alpha, beta = float(stored["alpha_prod_t_sqrt"][last]), float(stored["beta_prod_t_sqrt"][last])
    table = turbo()
    assert table.timesteps.tolist() == [999]
    np.testing.assert_allclose([table.a[0], table.b[0], table.c[0]], [1 / alpha, -beta / alpha, 0], rtol=2e-7)
    np.testing.assert_allclose(table.start, [alpha, beta], rtol=1e-7)


def test_std_s_coefficients() -> None:
    """Strength .75 at 8 steps: the published (A, B), six digits."""
    expected = [
        (1.432975, -0.453419),
        (1.271848, -0.296714),
        (1.280132, -0.326122),
        (1.172069, -0.220820),
        (1.168205, -0.247859),
        (1.098623, -0.177378),
        (1.088884, -0.215386),
        (1.056311, -0.312374),
    ]
    table = tcd(distilled(11, 0.75), 0.0)
    np.testing.assert_allclose(np.stack([table.a, table.b], 1), expected, atol=6e-7)
    assert not table.c.any()
    np.testing.assert_allclose(table.start, [0.24762, 0.96886], atol=6e-6)
    assert table.coefficients().shape == (8, 3)
    assert table.coefficients().dtype == np.float32


def test_the_published_coefficients() -> None:
    """All indices: the denoised latent is ``c_out (x - beta eps) / alpha + c_skip x``."""
    stored = load_file(golden_folder("streamdiffusion") / "schedule.safetensors")
    alpha, beta, c_skip, c_out = (
        stored[name].astype(np.float64)
        for name in ("alpha_prod_t_sqrt", "beta_prod_t_sqrt", "c_skip", "c_out")
    )
    count = len(stored["timesteps"])
    table = lcm(indexed(range(count), count))
    np.testing.assert_allclose(table.clean_a, c_out / alpha + c_skip, rtol=3e-7)
    np.testing.assert_allclose(table.clean_b, -c_out * beta / alpha, rtol=3e-7)
    np.testing.assert_allclose(table.c[:-1], beta[1:], rtol=1e-7)


@pytest.mark.parametrize("name", [name for name in image_cases(1) if cases()[name]["cfg_type"] == "none"])
def test_the_published_loop(name: str) -> None:
    """A stored StreamDiffusion run without guidance: its outputs from its UNet's predictions."""
    case, said = load_file(golden_folder("streamdiffusion") / "cases" / f"{name}.safetensors"), cases()[name]
    table = lcm(indexed(said["t_index_list"]))
    rows = len(said["t_index_list"])
    assert table.timesteps.tolist() == case["sub_timesteps"].tolist()
    buffer = np.zeros_like(case["init_noise"][1:]).astype(np.float64)
    noise = case["init_noise"] * said["do_add_noise"]
    for n, eps in enumerate(case["unet_out"].astype(np.float64)):
        x = np.concatenate([case["x_t_new"][n], buffer])
        moved = [table.a[k] * x[k] + table.b[k] * eps[k] for k in range(rows)]
        scale = np.abs(case["outputs"][n]).max() + 1
        assert np.abs(moved[-1] - case["outputs"][n][0]).max() <= 1e-5 * scale
        if rows > 1:
            buffer = np.stack([moved[k] + table.c[k] * noise[k + 1] for k in range(rows - 1)])
            assert np.abs(buffer - case["x_t_latent_buffer"][n]).max() <= 1e-5 * scale


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_gamma_and_eta_out_of_range(value: float) -> None:
    with pytest.raises(SamplerError, match=r"V2V-E6151.*gamma"):
        tcd(distilled(4), value)
    with pytest.raises(SamplerError, match=r"V2V-E6151.*eta"):
        ddim(leading(4), value)


def test_an_explicit_start() -> None:
    """A student may be started where it was trained to: 779 in place of 739."""
    values = [779, 639, 559, 459, 379, 279, 199, 99]
    table = tcd(listed(values), 0.0)
    assert table.timesteps.tolist() == values
    usual = tcd(distilled(11, 0.75), 0.0)
    np.testing.assert_array_equal(table.a[1:], usual.a[1:])
    assert table.a[0] > usual.a[0]

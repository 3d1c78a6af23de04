"""The noise schedule against diffusers' own and against the published code's stored values."""

from __future__ import annotations

import numpy as np
import pytest
from diffusers import LCMScheduler
from golden_data import golden_folder
from safetensors.numpy import load_file
from v2v_export.diffusion.samplers import NoiseSchedule, SamplerError, parse_prediction

STABLE: dict[str, object] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("spacing", ["scaled_linear", "linear"])
@pytest.mark.parametrize(("start", "end"), [(0.00085, 0.012), (0.0001, 0.02)])
def test_bit_for_bit_as_diffusers(spacing: str, start: float, end: float) -> None:
    theirs = LCMScheduler(beta_start=start, beta_end=end, beta_schedule=spacing)
    config = {"beta_schedule": spacing, "beta_start": start, "beta_end": end}
    ours = NoiseSchedule.from_config(config).alphas_cumprod
    np.testing.assert_array_equal(ours, theirs.alphas_cumprod.numpy().astype(np.float64))


def test_the_published_schedule() -> None:
    stored = load_file(golden_folder("streamdiffusion") / "schedule.safetensors")
    schedule = NoiseSchedule()
    np.testing.assert_array_equal(schedule.alphas_cumprod.astype(np.float32), stored["alphas_cumprod"])
    alpha, beta = schedule.levels(stored["timesteps"])
    np.testing.assert_allclose(alpha, stored["alpha_prod_t_sqrt"], rtol=1e-7)
    np.testing.assert_allclose(beta, stored["beta_prod_t_sqrt"], rtol=1e-7)


def test_live2diff_s_linear_betas() -> None:
    """Values of the published table, which has six digits."""
    alpha, beta = NoiseSchedule("linear").levels(np.array([399, 199, 499, 259]))
    np.testing.assert_allclose(alpha, [0.539860, 0.821793, 0.402259, 0.741717], atol=5e-7)
    np.testing.assert_allclose(beta, [0.841755, 0.569786, 0.915526, 0.670713], atol=5e-7)


def test_nobody_can_change_it() -> None:
    with pytest.raises(ValueError, match="read-only"):
        NoiseSchedule().alphas_cumprod[0] = 0


@pytest.mark.parametrize(
    "config",
    [
        {"beta_schedule": "squaredcos_cap_v2"},
        {"rescale_betas_zero_snr": True},
        {"num_train_timesteps": 500},
        {"trained_betas": [0.1]},
        {"beta_start": 0.0},
        {"beta_start": 0.02, "beta_end": 0.01},
    ],
)
def test_other_schedules_are_refused(config: dict[str, object]) -> None:
    assert NoiseSchedule.from_config(STABLE) == NoiseSchedule()
    with pytest.raises(SamplerError, match="V2V-E6155"):
        NoiseSchedule.from_config({**STABLE, **config})


@pytest.mark.parametrize("missing", list(STABLE))
def test_betas_are_not_guessed(missing: str) -> None:
    """diffusers' own defaults are 0.0001 and 0.02, linear, in most schedulers and others in some."""
    for config in ({key: STABLE[key] for key in STABLE if key != missing}, {**STABLE, missing: None}):
        with pytest.raises(SamplerError, match=rf"V2V-E6155[\s\S]*without {missing}"):
            NoiseSchedule.from_config(config)


def test_prediction_types() -> None:
    assert [parse_prediction(name) for name in ("epsilon", "sample", "v_prediction")]
    with pytest.raises(SamplerError, match=r"V2V-E6155.*\"flow\""):
        parse_prediction("flow")

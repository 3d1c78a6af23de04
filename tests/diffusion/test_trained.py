"""What a pipeline's scheduler configuration says about its UNet is followed, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diffusion.published import write_folder
from v2v_export.diffusion.samplers import NoiseSchedule, SamplerError
from v2v_export.diffusion.trained import trained_prediction
from v2v_export.errors import V2VError
from v2v_export.system import FrameSize
from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_export.systems.live2diff.sources import open_sources
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.weights import open_student
from v2v_export.systems.stream_diffusion import SYSTEM
from v2v_export.systems.stream_diffusion.checks import with_prediction
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions

SD15 = {"_class_name": "PNDMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085}
SD15 |= {"beta_end": 0.012, "num_train_timesteps": 1000, "trained_betas": None}
"""As the published SD1.5 has it: no prediction_type."""

V = {**SD15, "_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}
LINEAR = {**SD15, "beta_schedule": "linear"}
OPTIONS = StreamDiffusionOptions(architecture="tiny_sd15", vae="tiny_taesd")


def pipeline(root: Path, config: Any) -> dict[str, Any]:
    """Weights whose base is a pipeline's folder with that configuration of its scheduler."""
    folder = root / "pipe" / "scheduler"
    folder.mkdir(parents=True)
    (folder / "scheduler_config.json").write_text(json.dumps(config))
    return {"base": str(root / "pipe")}


def test_an_option_that_is_not_given_follows_the_checkpoint(tmp_path: Path) -> None:
    followed = with_prediction(pipeline(tmp_path, V), OPTIONS)
    assert followed == replace(OPTIONS, prediction="v_prediction")
    assert followed.velocity


def test_a_stream_is_made_for_it(tmp_path: Path) -> None:
    """From a pipeline's folder with a UNet and nothing in the options: v becomes noise by a table."""
    for name, config in (("v", V), ("noise", SD15)):
        unet = pipeline(tmp_path / name, config)["base"]
        write_folder(Path(unet) / "unet", "tiny_sd15")
        model = SYSTEM.load({"base": "random:0", "unet": unet}, OPTIONS, FrameSize(64, 64))
        assert ("noise_coefficients" in model.program().consts) == (name == "v")


def test_noise_is_what_a_configuration_without_an_entry_means(tmp_path: Path) -> None:
    sd21 = replace(OPTIONS, architecture="sd21")
    assert sd21.velocity
    assert not with_prediction(pipeline(tmp_path, SD15), sd21).velocity


@pytest.mark.parametrize("value", ["random:0", "file.safetensors", "folder"])
def test_weights_that_say_nothing_leave_the_options(value: str, tmp_path: Path) -> None:
    base = value if value.startswith("random:") else str(tmp_path / value)
    if value == "folder":
        (tmp_path / value).mkdir()
    assert with_prediction({"base": base}, OPTIONS) is OPTIONS


@pytest.mark.parametrize(("config", "given"), [(V, "epsilon"), (SD15, "v_prediction")])
def test_an_option_that_contradicts_the_checkpoint(config: Any, given: Any, tmp_path: Path) -> None:
    weights = pipeline(tmp_path, config)
    with pytest.raises(SamplerError, match=r"(?s)V2V-E6156\] pipe was trained to predict.*remove the option"):
        with_prediction(weights, replace(OPTIONS, prediction=given))
    agreed = "v_prediction" if given == "epsilon" else "epsilon"
    assert with_prediction(weights, replace(OPTIONS, prediction=agreed)).prediction == agreed


def test_a_clean_latent_is_no_prediction_of_a_stream(tmp_path: Path) -> None:
    with pytest.raises(SamplerError, match=r"V2V-E6156.*\"sample\""):
        with_prediction(pipeline(tmp_path, {**SD15, "prediction_type": "sample"}), OPTIONS)


def test_a_student_of_another_base(tmp_path: Path) -> None:
    options = StdOptions(architecture="tiny_sdxl", vae="tiny_taesd")
    for index, (config, words) in enumerate(((V, "v_prediction"), (LINEAR, "linear betas"))):
        with pytest.raises(SamplerError, match=rf"V2V-E6156.*{words}"):
            open_student(pipeline(tmp_path / str(index), config), options)


def test_live2diff_plays_noise_alone(tmp_path: Path) -> None:
    """Of the pipeline whose UNet is used, and whatever its betas: the steps are LCM's."""
    options = Live2DiffOptions(architecture="tiny_sd15")
    others = {"live2diff": "random:0", "depth": "random:0"}
    v, noise = (pipeline(tmp_path / name, item)["base"] for name, item in (("v", V), ("n", LINEAR)))
    for base in ({"base": v}, {"base": "random:0", "dreambooth": v}, {"base": noise, "dreambooth": v}):
        with pytest.raises(SamplerError, match=r'V2V-E6156\] pipe was trained to predict "v_prediction"'):
            open_sources({**base, **others}, options)
    for base in ({"base": noise}, {"base": v, "dreambooth": noise}):
        with pytest.raises(V2VError, match="V2V-E6100"):  # these folders hold no UNet
            open_sources({**base, **others}, options)


def test_another_schedule(tmp_path: Path) -> None:
    weights = pipeline(tmp_path, LINEAR)
    with pytest.raises(SamplerError, match=r"(?s)V2V-E6156.*linear betas.*expected: scaled_linear betas"):
        with_prediction(weights, OPTIONS)
    assert trained_prediction(weights, NoiseSchedule("linear")) == "epsilon"


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({**V, "rescale_betas_zero_snr": True}, "V2V-E6155"),
        ({**SD15, "prediction_type": "flow"}, "V2V-E6155"),
        ([1], "V2V-E6101"),
    ],
)
def test_what_is_not_known(config: Any, code: str, tmp_path: Path) -> None:
    with pytest.raises(V2VError, match=code):
        with_prediction(pipeline(tmp_path, config), OPTIONS)


def test_a_unet_of_its_own_speaks_for_itself(tmp_path: Path) -> None:
    weights = pipeline(tmp_path, V)
    assert with_prediction({"base": "random:0", "unet": weights["base"]}, OPTIONS).velocity
    assert with_prediction({**weights, "unet": str(tmp_path / "unet.safetensors")}, OPTIONS) is OPTIONS

"""What a base checkpoint was trained with, where its pipeline says so: noise schedule and prediction.

A pipeline's folder or repository has ``scheduler/scheduler_config.json`` beside its networks. Which sampler
it names is the pipeline's choice; the schedule and the prediction are the UNet's, and another one gives
pictures that are wrong without any error.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from v2v_export.diffusion.errors import WeightsError
from v2v_export.diffusion.samplers import NoiseSchedule, Prediction, SamplerError, parse_prediction
from v2v_export.hub import HUB, snapshot
from v2v_export.weights import Weights, one, optional

PART = "scheduler"
"""Its folder in a pipeline."""


def trained_prediction(weights: Weights, schedule: NoiseSchedule) -> Prediction | None:
    """The prediction that the UNet of these weights (``network_slots.SLOTS``) was trained for; None where
    they do not say it: a file, a module's own folder, random weights.

    Args:
        schedule: the stream's.

    Raises:
        SamplerError: V2V-E6155: a schedule or prediction that is not known; V2V-E6156: not the stream's.
        WeightsError: V2V-E6101, the configuration cannot be read.
        RecipeError: V2V-E5008, a repository of the hub that cannot be had.
    """
    value = optional(weights, "unet") or one(weights, "base")
    config = _scheduler_config(value)
    if config is None:
        return None
    found = NoiseSchedule.from_config(config)
    if found != schedule:
        raise SamplerError(
            "V2V-E6156",
            f"{_origin(value)} was trained with {_words(found)}",
            f"{_words(schedule)}, as this stream's steps are computed with",
            "take a checkpoint that was trained with that schedule",
        )
    return _prediction(config)


def check_prediction(weights: Weights, trained: Prediction | None, played: Prediction, fix: str) -> None:
    """Raises V2V-E6156 where a UNet was trained for another prediction than the stream reads from it.

    Args:
        trained: ``trained_prediction``'s.
        fix: what to do about it.
    """
    _check(optional(weights, "unet") or one(weights, "base"), trained, played, fix)


def check_value(value: str, played: Prediction, fix: str) -> None:
    """As ``check_prediction``, for a pipeline whose schedule is not the stream's matter.

    Args:
        value: the weights value that the UNet comes from.

    Raises:
        SamplerError: V2V-E6155, a prediction that is not known; V2V-E6156, another one.
        WeightsError, RecipeError: see ``trained_prediction``.
    """
    config = _scheduler_config(value)
    _check(value, None if config is None else _prediction(config), played, fix)


def _prediction(config: dict[str, Any]) -> Prediction:
    # diffusers reads a configuration without an entry so; those of SD1.5 have none.
    return parse_prediction(str(config.get("prediction_type", "epsilon")))


def _check(value: str, trained: Prediction | None, played: Prediction, fix: str) -> None:
    if trained not in (None, played):
        raise SamplerError(
            "V2V-E6156", f'{_origin(value)} was trained to predict "{trained}"', f'"{played}"', fix
        )


def _scheduler_config(value: str) -> dict[str, Any] | None:
    folder = snapshot(value, (PART,)) if value.startswith(HUB) else Path(value)
    path = folder / PART / "scheduler_config.json"
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(
            "V2V-E6101",
            f"{_origin(value)}/{PART}/scheduler_config.json: {error}",
            "a JSON object",
            "fetch the folder again",
        ) from error
    return content


def _origin(value: str) -> str:
    return value if value.startswith(HUB) else Path(value).name


def _words(schedule: NoiseSchedule) -> str:
    return f"{schedule.spacing} betas from {schedule.beta_start} to {schedule.beta_end}"

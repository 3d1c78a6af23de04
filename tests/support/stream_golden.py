"""StreamDiffusion's golden set: what the authors' own loop computed, case by case."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from golden_data import golden_folder, golden_tensors
from torch import Tensor
from v2v_export.systems.stream_diffusion.machine import LatentMachine, Predict
from v2v_export.systems.stream_diffusion.schedule import literal_steps

SET = "streamdiffusion"


@cache
def cases() -> dict[str, dict[str, Any]]:
    """Parameters of every case."""
    content: dict[str, dict[str, Any]] = json.loads((golden_folder(SET) / "cases.json").read_text())
    return content


def image_cases(frame_buffer: int | None = None) -> list[str]:
    """The cases that take frames, not text alone."""
    return [
        name
        for name, case in cases().items()
        if "t_index_list" in case
        and "method" not in case
        and frame_buffer in (None, case["frame_buffer_size"])
    ]


def text_cases() -> list[str]:
    """The cases of the methods that begin from noise, with text alone."""
    return [name for name, case in cases().items() if "method" in case]


def filter_settings() -> dict[str, tuple[float, int]]:
    """Run of the similarity filter -> its threshold and its limit of skips."""
    return {
        name.removeprefix("ssf_"): (case["threshold"], case["max_skip_frame"])
        for name, case in cases().items()
        if "threshold" in case
    }


def case_tensors(name: str) -> dict[str, Tensor]:
    return golden_tensors(SET, f"cases/{name}")


def frames() -> Tensor:
    """Input latents [N, 4, h, w]."""
    return golden_tensors(SET, "inputs")["frames"]


def unet_folder() -> Path | None:
    """The UNet of the set; None in the trimmed copy, which has predictions but no network."""
    folder = golden_folder(SET) / "unet"
    return folder if folder.is_dir() else None


def machine_of(name: str, predict: Predict, dtype: torch.dtype = torch.float32) -> LatentMachine:
    """The literal machine with a case's parameters."""
    case, data = cases()[name], case_tensors(name)
    group = case.get("frame_buffer_size", 1)
    rows = [index for index in case["t_index_list"] for _ in range(group)]
    return LatentMachine(
        literal_steps(rows, dtype),
        data["init_noise"],
        predict,
        cfg=case["cfg_type"],
        guidance=case.get("guidance_scale", 1.0),
        delta=case.get("delta", 1.0),
        add_noise=case.get("do_add_noise", True),
        frame_buffer=group,
    )

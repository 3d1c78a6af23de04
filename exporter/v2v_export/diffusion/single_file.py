"""Checkpoints in one file, under the names of the original implementation, as diffusers names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from v2v_export.diffusion.configs import Architecture
from v2v_export.diffusion.open_clip import convert_open_clip

_MARKS = {
    "unet": ("model.diffusion_model.",),
    "kl": ("first_stage_model.",),
    "clip_text": (
        "cond_stage_model.transformer.",
        "conditioner.embedders.0.transformer.",
        "cond_stage_model.model.",
    ),
    "clip_text_projection": ("conditioner.embedders.1.model.",),
}
"""Kind of network -> the prefixes under which a file of the whole model holds it; ``.model.``: by OpenCLIP's
names."""


def is_single_file(names: Mapping[str, Any], of: Architecture) -> bool:
    """Whether tensors of these names hold a network of that kind under the original names."""
    return any(name.startswith(_MARKS.get(of.kind, ())) for name in names)


def convert_single_file(tensors: Mapping[str, Tensor], of: Architecture) -> dict[str, Tensor]:
    """The network's tensors by diffusers' names; others are left out. Works on the meta device as well.

    Raises:
        KeyError: tensors that the architecture needs are not there.
    """
    from diffusers.loaders import single_file_utils as utils

    held = {name: item for name, item in tensors.items() if name.startswith(_MARKS[of.kind])}
    config = dict(of.config)
    if of.kind == "unet":
        converted = utils.convert_ldm_unet_checkpoint(held, {"layers_per_block": 2, **config})
    elif of.kind == "kl":
        converted = utils.convert_ldm_vae_checkpoint(held, config)
    else:
        prefix = next(mark for mark in _MARKS[of.kind] if next(iter(held)).startswith(mark))
        if prefix.endswith(".model."):
            bare = {name.removeprefix(prefix): item for name, item in held.items()}
            layers, projected = int(config["num_hidden_layers"]), of.kind == "clip_text_projection"
            converted = convert_open_clip(bare, layers, projected)
        else:
            converted = utils.convert_ldm_clip_checkpoint(held, remove_prefix=prefix)
    return {str(name): item for name, item in converted.items()}

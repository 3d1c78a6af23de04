"""Architectures by name: the published configurations, and narrow ones of the same block types.

A configuration is the dictionary that the published ``config.json`` holds, restricted to what decides shapes
and arithmetic; diffusers' and transformers' classes are built from it. The narrow ones run in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from v2v_export.diffusion.errors import WeightsError

Kind = Literal["unet", "kl", "tiny_vae", "clip_text", "clip_text_projection"]


@dataclass(frozen=True)
class Architecture:
    """One network without its weights.

    Attributes:
        name: what recipes and errors call it.
        kind: which class builds it.
        config: the class's configuration; what is left out has the class's default.
    """

    name: str
    kind: Kind
    config: Mapping[str, Any]


def _unet(**config: Any) -> dict[str, Any]:
    return {
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        **config,
    }


_SD = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}
_XL = {
    "down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
}
_WIDTHS = (320, 640, 1280, 1280)
_SD2 = {"attention_head_dim": (5, 10, 20, 20), "cross_attention_dim": 1024, "use_linear_projection": True}
# The last level is wide enough for four numbers in each group of a norm: Live2Diff's norms have 32 groups,
# and at 64x64 that level is one place. What two nearly equal numbers differ by is rounding, and a norm makes
# it large.
_NARROW = {"block_out_channels": (32, 64, 64, 128), "norm_num_groups": 16, "cross_attention_dim": 32}

_UNETS = {
    "sd15": _unet(
        **_SD, block_out_channels=_WIDTHS, attention_head_dim=8, cross_attention_dim=768, sample_size=64
    ),
    # SD2.1 at 768 predicts v; its scores overflow in half precision unless they are computed wider.
    "sd21": _unet(**_SD, **_SD2, block_out_channels=_WIDTHS, upcast_attention=True, sample_size=96),
    "sd_turbo": _unet(**_SD, **_SD2, block_out_channels=_WIDTHS, sample_size=64),
    "sdxl": _unet(
        **_XL,
        block_out_channels=(320, 640, 1280),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        transformer_layers_per_block=(1, 2, 10),
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
        sample_size=128,
    ),
    "tiny_sd15": _unet(**_SD, **_NARROW, attention_head_dim=2, sample_size=16),
    "tiny_sd21": _unet(
        **_SD, **_NARROW, attention_head_dim=(2, 4, 4, 4), use_linear_projection=True, sample_size=16
    ),
    "tiny_sdxl": _unet(
        **_XL,
        block_out_channels=(32, 64, 64),
        norm_num_groups=16,
        attention_head_dim=(2, 4, 4),
        cross_attention_dim=64,
        transformer_layers_per_block=(1, 1, 2),
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
        sample_size=16,
    ),
}


def _kl(widths: tuple[int, ...], groups: int, **config: Any) -> dict[str, Any]:
    return {
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "block_out_channels": widths,
        "layers_per_block": 2,
        "latent_channels": 4,
        "norm_num_groups": groups,
        **config,
    }


_VAES: dict[str, dict[str, Any]] = {
    # force_upcast: SDXL's leaves half precision's range inside; see vae.py.
    "kl_sd": _kl((128, 256, 512, 512), 32, sample_size=512, scaling_factor=0.18215),
    "kl_sdxl": _kl((128, 256, 512, 512), 32, sample_size=1024, scaling_factor=0.13025, force_upcast=True),
    "tiny_kl": _kl((16, 16, 32, 32), 8, sample_size=64, scaling_factor=0.18215),
}

_TAESD: dict[str, Any] = {"latent_channels": 4, "scaling_factor": 1.0}
_TINY_VAES = {
    # Equal in shape; trained against the latents of SD and of SDXL, which need no further scaling.
    "taesd": _TAESD,
    "taesdxl": _TAESD,
    "tiny_taesd": {
        **_TAESD,
        "encoder_block_out_channels": (16, 16, 16, 16),
        "decoder_block_out_channels": (16, 16, 16, 16),
        "num_encoder_blocks": (1, 1, 1, 1),
        "num_decoder_blocks": (1, 1, 1, 1),
    },
}


def _text(width: int, layers: int, heads: int, **config: Any) -> dict[str, Any]:
    return {
        "vocab_size": 49408,
        "max_position_embeddings": 77,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
        **config,
    }


_TEXTS = {
    "clip_l": _text(768, 12, 12, hidden_act="quick_gelu", projection_dim=768),
    # SD2.1's encoder ends one layer early, as its UNet was trained.
    "open_clip_h": _text(1024, 23, 16, hidden_act="gelu", projection_dim=512),
    "tiny_clip": _text(32, 2, 2, hidden_act="quick_gelu", projection_dim=32),
    "tiny_open_clip": _text(32, 2, 2, hidden_act="gelu", projection_dim=32),
}
_PROJECTED_TEXTS = {
    "open_clip_bigg": _text(1280, 32, 20, hidden_act="gelu", projection_dim=1280),
    "tiny_open_clip_projected": _text(32, 2, 2, hidden_act="gelu", projection_dim=32),
}

_KINDS: dict[Kind, Mapping[str, dict[str, Any]]] = {
    "unet": _UNETS,
    "kl": _VAES,
    "tiny_vae": _TINY_VAES,
    "clip_text": _TEXTS,
    "clip_text_projection": _PROJECTED_TEXTS,
}

ARCHITECTURES: Mapping[str, Architecture] = {
    name: Architecture(name, kind, config)
    for kind, configs in _KINDS.items()
    for name, config in configs.items()
}
"""Every architecture by its name."""


def architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        WeightsError: V2V-E6107, no such name.
    """
    if name not in ARCHITECTURES:
        raise WeightsError(
            "V2V-E6107", f'architecture "{name}"', f"one of {', '.join(ARCHITECTURES)}", "correct the name"
        )
    return ARCHITECTURES[name]


def build(of: Architecture, device: str = "meta") -> nn.Module:
    """The network on ``device``, in eval mode; on "meta" it costs no memory and has no values.

    Raises:
        WeightsError: V2V-E6107, the class refuses the configuration.
    """
    try:
        with torch.device(device):
            return _build(of).eval().requires_grad_(False)
    except Exception as error:
        # Entries of wrong types and sizes end in errors of every kind.
        raise WeightsError(
            "V2V-E6107",
            f"{of.name}: {type(error).__name__}: {error}",
            f"a configuration that builds a {of.kind}",
            "compare the config.json with a published one",
        ) from error


def parameters(of: Architecture) -> int:
    """How many numbers the network holds, without making it."""
    return sum(item.numel() for item in build(of).parameters())


def _build(of: Architecture) -> nn.Module:
    if of.kind in ("unet", "kl", "tiny_vae"):
        from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel

        classes = {"unet": UNet2DConditionModel, "kl": AutoencoderKL, "tiny_vae": AutoencoderTiny}
        made: nn.Module = classes[of.kind](**of.config)
        return made
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    kind = CLIPTextModel if of.kind == "clip_text" else CLIPTextModelWithProjection
    text: nn.Module = kind(CLIPTextConfig(**of.config))
    return text

"""Folders and files of checkpoints as they are published, made from random weights of narrow networks."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from v2v_export.diffusion.configs import ARCHITECTURES
from v2v_export.diffusion.random_weights import random_state

CLASSES = {
    "unet": "UNet2DConditionModel",
    "kl": "AutoencoderKL",
    "tiny_vae": "AutoencoderTiny",
    "clip_text": "CLIPTextModel",
    "clip_text_projection": "CLIPTextModelWithProjection",
}


def write_folder(folder: Path, name: str, seed: int = 0, tensors: Mapping[str, Tensor] | None = None) -> Path:
    """A module's own folder, with everything that a published config.json says besides."""
    of = ARCHITECTURES[name]
    folder.mkdir(parents=True)
    text = of.kind.startswith("clip_text")
    head = {"architectures": [CLASSES[of.kind]]} if text else {"_class_name": CLASSES[of.kind]}
    config = {**head, "_diffusers_version": "0.6.0", "torch_dtype": "float32", **of.config}
    (folder / "config.json").write_text(json.dumps(config))
    state = dict(tensors or random_state(of, seed))
    save_file(state, folder / ("model.safetensors" if text else "diffusion_pytorch_model.safetensors"))
    return folder


def original_unet_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A UNet with two layers per level, by the names of the original implementation.

    Written from that implementation's block numbering: ``input_blocks.0`` is the first convolution, then come
    two layers and a downsampler per level; ``output_blocks`` are three layers per level, the upsampler inside
    the third.
    """
    return {f"model.diffusion_model.{original_name(name, state)}": item for name, item in state.items()}


_TOP = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def original_name(name: str, names: Collection[str]) -> str:
    """One name of a tensor of a UNet that holds ``names``."""
    layer, _, leaf = name.rpartition(".")
    if layer in _TOP:
        return f"{_TOP[layer]}.{leaf}"
    if match := re.match(r"down_blocks\.(\d)\.(resnets|attentions|downsamplers)\.(\d)\.(.*)", name):
        level, kind, index, rest = int(match[1]), match[2], int(match[3]), match[4]
        if kind == "downsamplers":
            return f"input_blocks.{3 * level + 3}.0.{rest.replace('conv', 'op', 1)}"
        return f"input_blocks.{3 * level + 1 + index}.{_inner(kind, rest)}"
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        place = 1 if match[1] == "attentions" else 2 * int(match[2])
        return f"middle_block.{place}.{_inner(match[1], match[3])[2:]}"
    match = re.match(r"up_blocks\.(\d)\.(resnets|attentions|upsamplers)\.(\d)\.(.*)", name)
    assert match is not None
    level, kind, index, rest = int(match[1]), match[2], int(match[3]), match[4]
    if kind == "upsamplers":
        # It stands after the transformer, where the level has one.
        transformer = any(item.startswith(f"up_blocks.{level}.attentions") for item in names)
        return f"output_blocks.{3 * level + 2}.{2 if transformer else 1}.{rest}"
    return f"output_blocks.{3 * level + index}.{_inner(kind, rest)}"


def _inner(kind: str, rest: str) -> str:
    if kind == "attentions":
        return f"1.{rest}"
    layer, _, leaf = rest.rpartition(".")
    return f"0.{_RESNET[layer]}.{leaf}"


def original_vae_names(state: Mapping[str, Tensor], levels: int = 4) -> dict[str, Tensor]:
    """A KL autoencoder by the names of the original implementation: its decoder counts levels from the
    picture's end, and its attention is written as 1x1 convolutions."""
    named = {}
    for name, item in state.items():
        linear = ".attentions." in name and item.ndim == 2
        named[f"first_stage_model.{_original_vae(name, levels)}"] = item[:, :, None, None] if linear else item
    return named


def open_clip_names(prefix: str, layers: int = 2, width: int = 32) -> dict[str, Tensor]:
    """OpenCLIP's text tower at the size of the narrow architectures, random, by its own names."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embedding.weight": (49408, width),
        "positional_embedding": (77, width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
        "text_projection": (width, width),
        "logit_scale": (),
    }
    for index in range(layers):
        inside = {
            "ln_1.weight": (width,),
            "ln_1.bias": (width,),
            "attn.in_proj_weight": (3 * width, width),
            "attn.in_proj_bias": (3 * width,),
            "attn.out_proj.weight": (width, width),
            "attn.out_proj.bias": (width,),
            "ln_2.weight": (width,),
            "ln_2.bias": (width,),
            "mlp.c_fc.weight": (4 * width, width),
            "mlp.c_fc.bias": (4 * width,),
            "mlp.c_proj.weight": (width, 4 * width),
            "mlp.c_proj.bias": (width,),
        }
        shapes |= {f"transformer.resblocks.{index}.{name}": shape for name, shape in inside.items()}
    generator = torch.Generator().manual_seed(1)
    return {
        f"{prefix}{name}": torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes.items()
    }


_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def _original_vae(name: str, levels: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    for new, old in _VAE_ATTENTION.items():
        name = name.replace(f"mid_block.attentions.0.{new}.", f"mid.attn_1.{old}.")
    name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda m: f"up.{levels - 1 - int(m[1])}.block.", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", name)

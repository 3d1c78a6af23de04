"""CLIP text encoders by OpenCLIP's names, as checkpoints in one file hold those of SD2.1 and SDXL.

OpenCLIP's text tower is CLIP's in other words: queries, keys and values of a layer are one tensor, in this
order, and the projection is a matrix ``[width, projected]`` that embeddings are multiplied with, where a
linear layer's weight is ``[projected, width]``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_TOP = {
    "token_embedding.weight": "embeddings.token_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}
_INSIDE = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_UNUSED = ("logit_scale", "attn_mask")
_LAYER = re.compile(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")


def convert_open_clip(tensors: Mapping[str, Tensor], layers: int, projected: bool) -> dict[str, Tensor]:
    """The tensors by transformers' names; works on the meta device as well. What a text encoder does not have
    keeps its name.

    Args:
        tensors: by OpenCLIP's names, without prefix.
        layers: of the encoder.
        projected: whether the encoder has the projection. One that has none, SD2.1's, ends before OpenCLIP's
            last layer, and both are left out.
    """
    converted: dict[str, Tensor] = {}
    for name, item in tensors.items():
        match = _LAYER.fullmatch(name)
        if name in _UNUSED or (not projected and _is_last(name, layers)):
            continue
        if match is not None:
            converted.update(_layer(f"text_model.encoder.layers.{match[1]}", match[2], match[3], item))
        elif name == "text_projection":
            converted["text_projection.weight"] = item.T.contiguous() if item.ndim == 2 else item
        else:
            converted[f"text_model.{_TOP[name]}" if name in _TOP else name] = item
    return converted


def _is_last(name: str, layers: int) -> bool:
    return name == "text_projection" or name.startswith(f"transformer.resblocks.{layers}.")


def _layer(place: str, inside: str, leaf: str, item: Tensor) -> dict[str, Tensor]:
    if inside == "attn.in_proj":
        parts = zip("qkv", item.tensor_split(3), strict=True)
        return {f"{place}.self_attn.{letter}_proj.{leaf}": part for letter, part in parts}
    return {f"{place}.{_INSIDE.get(inside, inside)}.{leaf}": item}

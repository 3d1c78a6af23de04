"""Layers of diffusers' blocks, written so that engines fuse them and half precision stays finite.

Weights stay in diffusers' own modules; these functions run them. Statistics of norms, softmax and the
timestep's sinusoid are float32 islands; in a float32 module the casts are nothing.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

AnyModule = Any
"""A module of diffusers, which has no types: its class is named where it is used."""

MOST_SCORES = 2**28
"""Scores that eager PyTorch holds at once, 1 GiB in float32. Those of eight frames with 8 heads and 4096
places each are 4 GiB, and their softmax as much again; a fused kernel holds none."""


def group_norm(norm: nn.GroupNorm, x: Tensor, *, silu: bool = False, share: float = 1.0) -> Tensor:
    """Group normalisation [N, C, ...] with float32 statistics, then SiLU if asked, in the type of ``x``.

    Args:
        share: ``x`` holds this share of the value that was meant; the statistics are those of the full
            value, since eps is scaled by its square. The result is the full one.
    """
    assert norm.weight is not None
    assert norm.bias is not None
    y = functional.group_norm(
        x.float(), norm.num_groups, norm.weight.float(), norm.bias.float(), norm.eps * share * share
    )
    return (functional.silu(y) if silu else y).to(x.dtype)


def layer_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """Layer normalisation [..., C] with float32 statistics, in the type of ``x``."""
    y = functional.layer_norm(
        x.float(), norm.normalized_shape, _wide(norm.weight), _wide(norm.bias), norm.eps
    )
    return y.to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, *, wide: bool = False) -> Tensor:
    """softmax(q k^T / sqrt(d)) v for [..., heads, length, d].

    The scale goes into ``q`` before the product, where half precision has room for it. TensorRT fuses these
    operators into one kernel with the softmax in float32 around it; not with a float32 product.

    Args:
        wide: scores in float32 from the product on: for a backend that runs the operators one by one, where
            a half-precision product could overflow. A fused kernel keeps its scores in float32 by itself.
    """
    batch = q.shape[0]
    if batch > 1 and q.shape[:-1].numel() * k.shape[-2] > MOST_SCORES and not torch.compiler.is_exporting():
        keys, values = (x.expand(batch, *x.shape[1:]) for x in (k, v))
        parts = zip(*(torch.split(x, 1) for x in (q, keys, values)), strict=True)
        return torch.cat([attend(*part, wide=wide) for part in parts])
    q = q * (1.0 / math.sqrt(q.shape[-1]))
    if wide:
        q, k = q.float(), k.float()
    scores = torch.matmul(q, k.transpose(-1, -2))
    return torch.matmul(scores.float().softmax(-1).to(v.dtype), v)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[N, L, heads * d] -> [N, heads, L, d]."""
    batch, length, width = x.shape
    return x.reshape(batch, length, heads, width // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """[N, heads, L, d] -> [N, L, heads * d]."""
    return x.transpose(1, 2).flatten(2)


def sinusoid(timestep: Tensor, width: int, *, flip: bool, shift: float) -> Tensor:
    """The timestep's embedding [B] -> float32 [B, width], as diffusers' ``Timesteps`` with its two options.

    Frequencies 10000^(-i / (width / 2 - shift)); cosines first if ``flip``.
    """
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32) * (-math.log(10000.0) / (half - shift))
    angles = timestep.float()[:, None] * torch.exp(exponents)[None].to(timestep.device)
    parts = (angles.cos(), angles.sin()) if flip else (angles.sin(), angles.cos())
    return torch.cat(parts, dim=-1)


def resnet(block: AnyModule, x: Tensor, activated: Tensor | None, *, share: float = 1.0) -> Tensor:
    """diffusers' ``ResnetBlock2D`` [N, C, h, w], with the time embedding after its SiLU [N, D] or None.

    Args:
        share: ``x`` and the result hold this share of the true values (see ``group_norm``).
    """
    h = block.conv1(group_norm(block.norm1, x, silu=True, share=share))
    if activated is not None:
        h = h + block.time_emb_proj(activated)[:, :, None, None]
    h = group_norm(block.norm2, h, silu=True)
    return _shortcut(block, x, share) + shared_layer(block.conv2, h, share)


def feed_forward(block: AnyModule, x: Tensor) -> Tensor:
    """diffusers' ``FeedForward`` with GEGLU: ``out(value * gelu(gate))``."""
    value, gate = block.net[0].proj(x).chunk(2, dim=-1)
    y: Tensor = block.net[2](value * functional.gelu(gate))
    return y


def downsample(block: AnyModule, x: Tensor, *, share: float = 1.0) -> Tensor:
    """diffusers' ``Downsample2D``: a convolution of stride 2, padded on both sides or, in VAEs, on the far
    ones."""
    if block.padding == 0:
        x = functional.pad(x, (0, 1, 0, 1))
    return layer_of_share(block.conv, x, share)


def upsample(block: AnyModule, x: Tensor, *, share: float = 1.0) -> Tensor:
    """diffusers' ``Upsample2D``: each pixel twice in both directions, then a convolution."""
    return layer_of_share(block.conv, functional.interpolate(x, scale_factor=2.0, mode="nearest"), share)


def _shortcut(block: AnyModule, x: Tensor, share: float) -> Tensor:
    return x if block.conv_shortcut is None else layer_of_share(block.conv_shortcut, x, share)


def shared_layer(layer: AnyModule, x: Tensor, share: float) -> Tensor:
    """``share * layer(x)`` of a convolution or linear layer, without the full value in between."""
    return layer_of_share(layer, x if share == 1.0 else x * share, share)


def layer_of_share(layer: AnyModule, x: Tensor, share: float) -> Tensor:
    """``layer(x)`` where ``x`` holds a share of the value: the bias takes the same share."""
    if share == 1.0 or layer.bias is None:
        y: Tensor = layer(x)
        return y
    if isinstance(layer, nn.Linear):
        return functional.linear(x, layer.weight, layer.bias * share)
    return functional.conv2d(x, layer.weight, layer.bias * share, layer.stride, layer.padding)


def _wide(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.float()

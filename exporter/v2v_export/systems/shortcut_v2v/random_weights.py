"""Random weights of the real architecture that behave like trained ones: no saturation, no empty paths.

For measuring and testing without a checkpoint. Numbers come from numpy's PCG64, one stream per tensor, so a
seed gives the same weights on every machine, and a tensor's values do not depend on the others.
"""

from __future__ import annotations

import math
import zlib
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from v2v_export.systems.shortcut_v2v.block import HetConv, ShortcutBlock
from v2v_export.systems.shortcut_v2v.model import ResnetGenerator

_M = TypeVar("_M", bound=nn.Module)

GLOBAL_OFFSET_STD = 2.0
"""Of the global offsets' head, in pixels at half the features' size."""

LOCAL_OFFSET_STD = 1.5
"""Of the local offsets' head, in pixels of the features."""

MASK_LOGIT_STD = 2.0
"""Of the mask head: the sigmoid then covers most of 0 to 1."""


def random_teacher(seed: int, ngf: int = 64, n_blocks: int = 6) -> ResnetGenerator:
    """A teacher whose features keep unit scale and whose tanh stays in its bend.

    Weights N(0, 1.4 / sqrt(fan_in)), biases N(0, 0.2); the last convolution's weights times 0.6.
    """
    with torch.device("meta"):
        teacher = ResnetGenerator(ngf, n_blocks)
    last = f"model.{17 + n_blocks}."
    state: dict[str, Tensor] = {}
    for name, module in teacher.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            # A stride-2 transposed convolution feeds each output from a quarter of its taps.
            share = 4 if isinstance(module, nn.ConvTranspose2d) else 1
            fan_in = module.in_channels * module.kernel_size[0] * module.kernel_size[1] / share
            gain = 1.4 * (0.6 if name + "." == last else 1.0)
            state[f"{name}.weight"] = _normal(seed, f"{name}.weight", module.weight, gain / math.sqrt(fan_in))
            assert module.bias is not None
            state[f"{name}.bias"] = _normal(seed, f"{name}.bias", module.bias, 0.2)
    return _filled(teacher, state)


def random_block(seed: int, feat_ch: int, h: int) -> ShortcutBlock:
    """A block that really moves and blends: offsets of a few pixels, a mask that spreads over 0 to 1.

    Trained blocks start from zero heads; with those, every offset path would be untested.
    """
    with torch.device("meta"):
        block = ShortcutBlock(feat_ch, h)
    heads = {
        "offset_generator_global.offset_conv": torch.full((2,), GLOBAL_OFFSET_STD),
        "offset_generator_local.offset_mask_conv": torch.cat(
            (torch.full((18,), LOCAL_OFFSET_STD), torch.full((9,), MASK_LOGIT_STD))
        ),
    }
    in_het = {
        f"{name}.{part}"
        for name, module in block.named_modules()
        if isinstance(module, HetConv)
        for part, _ in module.named_children()
    }
    state: dict[str, Tensor] = {}
    for name, module in block.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        fan_in = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
        # sqrt(2 / fan_in) keeps the second moment through a ReLU; a HetConv adds up three such terms.
        gain = math.sqrt(2 / 3) if name in in_het else math.sqrt(2)
        if name in heads or name == "recon_ref" or name.endswith("regular_conv"):
            gain = 1.0
        weight = _normal(seed, f"{name}.weight", module.weight, gain / math.sqrt(fan_in))
        bias = None if module.bias is None else _normal(seed, f"{name}.bias", module.bias, 0.1)
        if name in heads:
            assert bias is not None
            weight = weight * heads[name].view(-1, 1, 1, 1)
            bias = bias * 5 * heads[name]
        state[f"{name}.weight"] = weight
        if bias is not None:
            state[f"{name}.bias"] = bias
    return _filled(block, state)


def _normal(seed: int, name: str, like: Tensor, std: float) -> Tensor:
    values = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(tuple(like.shape))
    return torch.from_numpy((values * std).astype(np.float32))


def _filled(module: _M, state: dict[str, Tensor]) -> _M:
    module.load_state_dict(state, strict=True, assign=True)
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    return module

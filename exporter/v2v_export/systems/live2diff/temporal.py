"""What Live2Diff adds to Stable Diffusion 1.5: temporal modules and depth encoder, by their published names.

Attribute names give the keys of ``live2diff.ckpt``. Modules here hold weights; ``temporal_step`` and
``temporal_warmup`` run them in graphs, ``reference_temporal`` literally. Equations: method, sections 1.3, 1.4
and 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from diffusers.models.attention import FeedForward
from torch import Tensor, nn
from torch.nn import functional
from v2v_export.systems.live2diff.errors import WeightsError
from v2v_export.systems.live2diff.temporal_state import ATTENTIONS, temporal_layers

POSITIONS = 24
"""Length of the published table of positions; the first 16 are used."""

NORM_GROUPS = 32
"""Groups of every temporal module's GroupNorm, whatever the spatial ones have."""

_CONDITION_WIDTHS = (16, 32, 96, 256)


class TemporalAttention(nn.Module):
    """Projections [C, C] of one attention over time; only the last has a bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])


class TemporalBlock(nn.Module):
    """x + attention(norm(x)) twice, then x + feed-forward(norm(x)) with GEGLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList([TemporalAttention(channels) for _ in range(ATTENTIONS)])
        self.norms = nn.ModuleList([nn.LayerNorm(channels) for _ in range(ATTENTIONS)])
        self.ff = FeedForward(channels, activation_fn="geglu")
        self.ff_norm = nn.LayerNorm(channels)

    def attentions(self) -> list[TemporalAttention]:
        """Both, in order."""
        return [item for item in self.attention_blocks if isinstance(item, TemporalAttention)]


class TemporalTransformer(nn.Module):
    """GroupNorm, Linear, one block, Linear; the residual goes around all of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NORM_GROUPS, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels)])
        self.proj_out = nn.Linear(channels, channels)

    def block(self) -> TemporalBlock:
        """Its only one."""
        block = self.transformer_blocks[0]
        assert isinstance(block, TemporalBlock)
        return block


class MotionModule(nn.Module):
    """The published name of a place in the UNet."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(channels)


class MotionBlock(nn.Module):
    """The modules of one block of the UNet."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.motion_modules = nn.ModuleList([MotionModule(width) for width in channels])


class DepthCondition(nn.Module):
    """Depth latents [N, 4, h, w] -> what is added to the UNet's first feature [N, C0, h, w] (E_cond)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = _CONDITION_WIDTHS
        self.conv_in = nn.Conv2d(4, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList()
        for narrow, wide in pairwise(widths):
            self.blocks.append(nn.Conv2d(narrow, narrow, 3, padding=1))
            self.blocks.append(nn.Conv2d(narrow, wide, 3, padding=1))
        self.conv_out = nn.Conv2d(widths[-1], channels, 3, padding=1)

    def forward(self, depth: Tensor) -> Tensor:
        x = functional.silu(self.conv_in(depth))
        for block in self.blocks:
            x = functional.silu(block(x))
        y: Tensor = self.conv_out(x)
        return y


class TemporalParts(nn.Module):
    """All of it for one UNet: the published checkpoint's keys, without the tables of positions.

    Args:
        config: of the ``UNet2DConditionModel`` that it belongs to.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.down_blocks = self._blocks(config, "down")
        self.up_blocks = self._blocks(config, "up")
        self.flow_conv_in = DepthCondition(config["block_out_channels"][0])

    def transformer(self, half: str, block: int, layer: int) -> TemporalTransformer:
        """The module after layer ``layer`` of block ``block`` of a half, "down" or "up"."""
        blocks = self.down_blocks if half == "down" else self.up_blocks
        found: Any = blocks[block]
        module: TemporalTransformer = found.motion_modules[layer].temporal_transformer
        return module

    @staticmethod
    def _blocks(config: Mapping[str, Any], half: str) -> nn.ModuleList:
        count = len(config["block_out_channels"])
        widths: list[list[int]] = [[] for _ in range(count)]
        for item in temporal_layers(config, 1 << count, 1 << count):
            if item.half == half and item.attention == 0:
                widths[item.block].append(item.channels)
        return nn.ModuleList([MotionBlock(channels) for channels in widths])


def sinusoid(channels: int, length: int = POSITIONS) -> Tensor:
    """The table of positions, float32 [length, C].

    pe[p, 2i] = sin(p * 10000^(-2i / C)), pe[p, 2i + 1] = cos of the same.
    """
    position = torch.arange(length, dtype=torch.float64)[:, None]
    exponent = torch.arange(0, channels, 2, dtype=torch.float64) / channels
    angles = position * torch.pow(torch.tensor(10000.0, dtype=torch.float64), -exponent)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).float()


def without_positions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's tensors without its tables of positions, which are computed.

    Raises:
        WeightsError: V2V-E6250: a table is not the sinusoid that the graphs would use.
    """
    kept = {}
    for name, tensor in state.items():
        if name.split(".")[-2:] != ["pos_encoder", "pe"]:
            kept[name] = tensor
            continue
        table = tensor.float().reshape(-1, tensor.shape[-1])
        # A half-precision file rounds values of up to 1 by 2 ** -11 at most.
        if not torch.allclose(table, sinusoid(table.shape[1], table.shape[0]), rtol=0.0, atol=6e-4):
            raise WeightsError(
                "V2V-E6250",
                f"{name} {list(tensor.shape)} is another table of positions",
                "sin(p 10000^(-2i/C)) and cos, interleaved, as in the published checkpoint",
                "use a checkpoint of Live2Diff, or of AnimateDiff's first motion module",
            )
    return kept

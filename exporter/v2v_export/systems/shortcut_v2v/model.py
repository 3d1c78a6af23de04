"""The Unsup RecycleGAN teacher: a ResNet generator as one flat ``Sequential``, and its three splits.

The integer that names a module in the published checkpoints (``model.{idx}``) is also the index at which
Shortcut-V2V cuts the network, so the flat form is kept and the three parts are slices of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional
from v2v_export.systems.shortcut_v2v.errors import GeometryError

_FIRST_BLOCK = 10
"""Index of the first residual block: 7x7 conv, two stride-2 convs, their norms and ReLUs come before."""


class InstanceNorm(nn.Module):
    """Instance normalisation without learned scale: the biased statistics of each picture's channels.

    The statistics are computed in float32 where the input is narrower: a half-precision sum over a whole
    feature map overflows or loses its mean. float32 and float64 stay as they are.

    Shapes: ``[N, C, H, W] -> [N, C, H, W]``.
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype in (torch.float16, torch.bfloat16):
            return functional.instance_norm(x.float(), eps=self.eps).to(x.dtype)
        return functional.instance_norm(x, eps=self.eps)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"


class ResnetBlock(nn.Module):
    """``x + IN(conv3(RP1(ReLU(IN(conv3(RP1(x)))))))``, with no activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x)
        return x + y


class ResnetGenerator(nn.Module):
    """The teacher. ``[N, in_ch, H, W]`` in [-1, 1] -> ``[N, out_ch, H, W]`` in [-1, 1] (tanh).

    ``H`` and ``W`` are multiples of 4, at least 8. The parameter names are those of the published
    checkpoints: ``model.{idx}.weight`` and ``model.{10..}.conv_block.{1,5}.weight``, with their biases.

    Args:
        ngf: channels of the first convolution; doubled at each of the two stride-2 convolutions.
        n_blocks: residual blocks at a quarter of the frame's size.
    """

    def __init__(self, ngf: int = 64, n_blocks: int = 6, in_ch: int = 3, out_ch: int = 3) -> None:
        super().__init__()
        if min(ngf, n_blocks, in_ch, out_ch) < 1:
            raise GeometryError(
                "V2V-E6012",
                f"ngf={ngf}, n_blocks={n_blocks}, in_ch={in_ch}, out_ch={out_ch}",
                "all of them at least 1",
                "correct the recipe's sizes",
            )
        self.ngf, self.n_blocks, self.in_ch, self.out_ch = ngf, n_blocks, in_ch, out_ch
        modules: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(in_ch, ngf, 7),
            InstanceNorm(),
            nn.ReLU(),
        ]
        for channels in (ngf, 2 * ngf):
            modules += [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), InstanceNorm(), nn.ReLU()]
        modules += [ResnetBlock(4 * ngf) for _ in range(n_blocks)]
        for channels in (4 * ngf, 2 * ngf):
            up = nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)
            modules += [up, InstanceNorm(), nn.ReLU()]
        modules += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, out_ch, 7), nn.Tanh()]
        self.model = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y

    def split(self, level: Level | str) -> Split:
        """The three parts at a dependence level. They are slices: parameters are shared, not copied."""
        level = parse_level(level)
        start, end = split_indices(level, self.n_blocks)
        return Split(
            level=level,
            start=start,
            end=end,
            channels=self.ngf * feature_scale(level),
            scale=feature_scale(level),
            encoder=_part(self.model, 0, start),
            middle=_part(self.model, start, end),
            decoder=_part(self.model, end, len(self.model)),
        )


class Level(StrEnum):
    """How deep the shortcut reaches into the teacher: what it depends on, and what it skips."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True)
class Split:
    """A teacher cut in three at ``model[:start]``, ``model[start:end]``, ``model[end:]``.

    At low and medium both features are raw convolution outputs, before norm and activation; at high the
    encoder's is taken after its ReLU and the decoder's is the last residual block's output.

    Attributes:
        channels: channels of the encoder feature ``a`` and of the decoder feature ``f``.
        scale: the frame's size over the features' size (1, 2 or 4).
    """

    level: Level
    start: int
    end: int
    channels: int
    scale: int
    encoder: nn.Sequential
    middle: nn.Sequential
    decoder: nn.Sequential


def _part(modules: nn.Sequential, start: int, end: int) -> nn.Sequential:
    part = modules[start:end]
    assert isinstance(part, nn.Sequential)
    return part


def parse_level(level: Level | str) -> Level:
    """The level of that name; V2V-E6013 for any other."""
    try:
        return Level(level)
    except ValueError:
        names = ", ".join(f'"{item.value}"' for item in Level)
        raise GeometryError(
            "V2V-E6013", f'dependence level "{level}"', f"one of {names}", 'take "medium", as the paper does'
        ) from None


def feature_scale(level: Level) -> int:
    """The frame's size over the features' size; the features' channels are this times ``ngf``."""
    return {Level.LOW: 1, Level.MEDIUM: 2, Level.HIGH: 4}[level]


def split_indices(level: Level, n_blocks: int = 6) -> tuple[int, int]:
    """``(start, end)`` in the flat module list: low (2, 20), medium (5, 17), high (10, 16) at 6 blocks."""
    end_of_blocks = _FIRST_BLOCK + n_blocks
    return {
        Level.LOW: (2, end_of_blocks + 4),
        Level.MEDIUM: (5, end_of_blocks + 1),
        Level.HIGH: (10, end_of_blocks),
    }[level]


def frame_multiple(level: Level | str) -> int:
    """The number that a frame's height and width must be multiples of.

    The teacher halves twice and doubles twice, so 4. The block halves the features once more and doubles
    them again, so their size must be even: 2 at low (the teacher's 4 covers it), 2 x 2 at medium, 2 x 4 at
    high.
    """
    return max(4, 2 * feature_scale(parse_level(level)))


def check_frame_size(height: int, width: int, level: Level | str) -> None:
    """Raise V2V-E6010 for a frame that the teacher or the block cannot take, with sizes that work.

    8 is the least: at a quarter of the size the residual blocks' reflection needs two pixels.
    """
    multiple = frame_multiple(level)
    if all(size >= 8 and size % multiple == 0 for size in (height, width)):
        return
    near = " x ".join(str(max(8, (size + multiple // 2) // multiple * multiple)) for size in (height, width))
    raise GeometryError(
        "V2V-E6010",
        f"frame of {height} x {width} (height x width) at dependence level {parse_level(level).value}",
        f"height and width that are multiples of {multiple}, at least 8",
        f"use {near}, or the next such size",
    )

"""The temporal attentions of one UNet and the shapes of their keys and values, from its configuration alone.

Twenty modules follow the layers of the down and up blocks (none in the middle), two attentions each. Every
attention keeps keys and values of eight warm-up frames (sinks) and of the latest eight frames (ring), per
denoising row (method, section 1.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from v2v_runtime.manifest.model import TensorSpec

SINKS = 8
"""Warm-up frames, and sink entries of every cache."""

RING = 8
"""Entries of every ring: the latest frames, the current one among them."""

HEADS = 8
"""Heads of every temporal attention, whatever the spatial ones have."""

ATTENTIONS = 2
"""Self-attentions of a module."""

Cache = Literal["delta", "in_place"]
"""Who writes a ring's new entry: the machine, where a step gives it the entry, or the step's own graph."""


@dataclass(frozen=True)
class TemporalLayer:
    """One temporal attention.

    Attributes:
        half: ``down`` or ``up``.
        block: index of the block.
        layer: index of the module in its block.
        attention: 0 or 1 in its module.
        channels: C.
        height: of its feature map.
        width: of its feature map.
    """

    half: str
    block: int
    layer: int
    attention: int
    channels: int
    height: int
    width: int

    @property
    def positions(self) -> int:
        """HW; position y * width + x."""
        return self.height * self.width

    @property
    def head_dim(self) -> int:
        return self.channels // HEADS

    @property
    def token(self) -> tuple[int, int, int, int]:
        """Shape of one frame's keys and values: positions, the two of them, heads, channels of a head.

        Side by side at each position they are what one projection gives, so a new entry is a product's result
        as it stands.
        """
        return (self.positions, 2, HEADS, self.head_dim)


def temporal_layers(config: Mapping[str, Any], height: int, width: int) -> tuple[TemporalLayer, ...]:
    """The attentions in the order of the published caches.

    Args:
        config: of diffusers' ``UNet2DConditionModel``.
        height: h of the latent, a multiple of 2 ** (blocks - 1).
        width: w of the latent, likewise.
    """
    return tuple(_layers(config, height, width))


def _layers(config: Mapping[str, Any], height: int, width: int) -> Iterator[TemporalLayer]:
    widths = tuple(config["block_out_channels"])
    depth, last = config["layers_per_block"], len(widths) - 1
    down = [("down", block, depth, block) for block in range(last + 1)]
    up = [("up", block, depth + 1, last - block) for block in range(last + 1)]
    for half, block, layers, level in (*down, *up):
        for layer in range(layers):
            for attention in range(ATTENTIONS):
                yield TemporalLayer(
                    half, block, layer, attention, widths[level], height >> level, width >> level
                )


def sink_specs(config: Mapping[str, Any], rows: int, height: int, width: int) -> dict[str, TensorSpec]:
    """``sink_00``, ``sink_01``, ...: [T, 8, HW, 2, heads, d].

    Frame i holds W_k (x + pe_i) and W_v (x + pe_i), position included: sinks stand at 0 to 7 for ever.
    """
    layers = temporal_layers(config, height, width)
    return _named("sink", [(rows, SINKS, *layer.token) for layer in layers])


def ring_specs(
    config: Mapping[str, Any], rows: int, height: int, width: int, cache: Cache = "delta"
) -> dict[str, TensorSpec]:
    """``ring_00``, ``ring_01``, ...: [8, T, HW, 2, heads, d], or ``in_place`` the same memory as
    [1, 1, 8, T HW 2 heads d].

    The entry of step s is at s mod 8 in every row, and holds W_k x and W_v x without a position: that one
    moves.
    """
    layers = temporal_layers(config, height, width)
    if cache == "in_place":
        return _named("ring", [(1, 1, RING, rows * math.prod(layer.token)) for layer in layers])
    return _named("ring", [(RING, rows, *layer.token) for layer in layers])


def _named(prefix: str, shapes: list[tuple[int, ...]]) -> dict[str, TensorSpec]:
    return {f"{prefix}_{index:02d}": TensorSpec("float", shape) for index, shape in enumerate(shapes)}

"""The UNet of Live2Diff in graphs: the spatial walk with a temporal module after every layer.

``UnetStep`` is by default the delta form (method, section 9.2): caches come in and stay as they are; what
goes out of each attention is the one entry that the machine writes into its ring. In the in-place form
(section 9.3) the rings go out too, bound to the memory that they came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from v2v_export.diffusion.unet import Place, StreamUNet
from v2v_export.systems.live2diff.ring_clock import ring_clock
from v2v_export.systems.live2diff.temporal import TemporalParts
from v2v_export.systems.live2diff.temporal_state import Cache
from v2v_export.systems.live2diff.temporal_step import StepModule
from v2v_export.systems.live2diff.temporal_warmup import WarmupModule


class UnetStep(nn.Module):
    """One denoising step of T rows, each at its own timestep.

    Args:
        unet: diffusers' ``UNet2DConditionModel`` of SD1.5's kind.
        parts: the temporal modules, of the same configuration.
        rows: T.
        dtype: of weights, caches and activations.
        lowering: as ``StreamUNet`` reads it.
        official_startup: see ``ring_clock``.
        cache: who writes the rings' new entries.
    """

    def __init__(
        self,
        unet: nn.Module,
        parts: TemporalParts,
        rows: int,
        dtype: torch.dtype = torch.float32,
        lowering: Mapping[str, str] | None = None,
        *,
        official_startup: bool = False,
        cache: Cache = "delta",
    ) -> None:
        super().__init__()
        self.unet = StreamUNet(unet, dtype, lowering)
        self.rows, self.official_startup = rows, official_startup
        self.motion = Motion(unet, parts, lambda item: StepModule(item, dtype, cache))

    def forward(
        self,
        sample: Tensor,
        cond: Tensor,
        timesteps: Tensor,
        step: Tensor,
        cross: Sequence[Tensor],
        sinks: Sequence[Tensor],
        rings: Sequence[Tensor],
    ) -> tuple[Tensor, list[Tensor]]:
        """The prediction and the new entries.

        Args:
            sample: [T, 4, h, w], row 0 the newest frame.
            cond: [T, C0, h, w], E_cond of each row's depth latent.
            timesteps: int64 [T].
            step: int64 [1], 0 at the first frame after the warm-up.
            cross: see ``StreamUNet``.
            sinks: in the order of ``temporal_state.sink_specs``.
            rings: in the order of ``temporal_state.ring_specs``. The entry at step mod 8 may hold anything.

        Returns:
            eps [T, 4, h, w]; new entries [1, T, HW, 2, heads, d] in the order of ``rings``, or ``in_place``
            the rings with them.
        """
        clock = ring_clock(step, self.rows, official_startup=self.official_startup)
        caches = zip(sinks, rings, strict=True)
        new: list[Tensor] = []

        def after(place: Place, x: Tensor) -> Tensor:
            x, entries = self.motion.at(place)(x, (next(caches), next(caches)), clock)
            new.extend(entries)
            return x

        return self.unet(sample, timesteps, cross, residual=cond, after_layer=after), new


class UnetWarmup(nn.Module):
    """One denoising step of the eight warm-up frames, all at one timestep; see ``UnetStep``."""

    def __init__(
        self,
        unet: nn.Module,
        parts: TemporalParts,
        dtype: torch.dtype = torch.float32,
        lowering: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.unet = StreamUNet(unet, dtype, lowering)
        wide = self.unet.wide
        self.motion = Motion(unet, parts, lambda item: WarmupModule(item, dtype, wide=wide))

    def forward(
        self, sample: Tensor, cond: Tensor, timestep: Tensor, cross: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """sample [8, 4, h, w], cond [8, C0, h, w], timestep int64 [1], cross of one prompt row -> (eps
        [8, 4, h, w], one row of the sinks [1, 8, HW, 2, heads, d] in the order of ``sink_specs``)."""
        sinks: list[Tensor] = []

        def after(place: Place, x: Tensor) -> Tensor:
            x, entries = self.motion.at(place)(x)
            sinks.extend(entries)
            return x

        frames = timestep.expand(sample.shape[0])
        return self.unet(sample, frames, cross, residual=cond, after_layer=after), sinks


class Motion(nn.Module):
    """A form of every temporal module, found by its place."""

    def __init__(self, unet: Any, parts: TemporalParts, form: Callable[[Any], nn.Module]) -> None:
        super().__init__()
        self.places = {place: index for index, place in enumerate(places(unet.config))}
        self.forms = nn.ModuleList([form(parts.transformer(*place)) for place in self.places])

    def at(self, place: Place) -> nn.Module:
        return self.forms[self.places[place]]


def places(config: Mapping[str, Any]) -> Iterator[Place]:
    """Every layer of the down blocks, then of the up blocks."""
    count, depth = len(config["block_out_channels"]), config["layers_per_block"]
    for block in range(count):
        yield from (Place("down", block, layer) for layer in range(depth))
    for block in range(count):
        yield from (Place("up", block, layer) for layer in range(depth + 1))

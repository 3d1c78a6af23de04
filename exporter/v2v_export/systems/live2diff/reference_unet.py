"""The UNet of Live2Diff literally: diffusers' own layers, temporal attention computed anew.

It judges the graphs of ``unet_graphs`` and plays in the literal stream (method, sections 1, 3 and 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from v2v_export.diffusion.precision import in_precision
from v2v_export.lazy import Lazy
from v2v_export.systems.live2diff.reference_temporal import LiteralAttention, LiteralModule

if TYPE_CHECKING:
    from v2v_export.systems.live2diff.temporal import TemporalParts

Temporal = Callable[[LiteralModule, Tensor], Tensor]


class LiteralUnet:
    """Warm-up calls, then streaming steps.

    Args:
        unet: diffusers' ``UNet2DConditionModel``.
        parts: the temporal modules and the depth encoder, whose weights are read under their published names.
        rows: T.
        dtype: of the whole computation, float32 or float64.
        official_startup: see ``ring_clock``.

    Attributes:
        steps: streaming steps since the warm-up.
        calls: everything that changed what is remembered.
    """

    def __init__(
        self,
        unet: nn.Module,
        parts: TemporalParts,
        rows: int,
        dtype: torch.dtype = torch.float32,
        *,
        official_startup: bool = False,
    ) -> None:
        self.unet: Any = in_precision(unet, dtype).eval()
        wide: Any = in_precision(parts, dtype).eval()
        self.depth_encoder = wide.flow_conv_in
        self.dtype = dtype
        self.modules = [
            LiteralModule(motion.temporal_transformer, rows, official_startup=official_startup)
            for block in (*wide.down_blocks, *wide.up_blocks)
            for motion in block.motion_modules
        ]
        self.steps = 0
        self.calls = 0

    def reset(self) -> None:
        """Back to before the warm-up."""
        self.calls += 1
        for attention in self._attentions():
            attention.forget()
        self.steps = 0

    def condition(self, depth: Tensor) -> Tensor:
        """E_cond (section 2): convolutions, SiLU after each but the last.

        Args:
            depth: depth latents [N, 4, h, w].

        Returns:
            What is added to the first feature, [N, C0, h, w].
        """
        x = depth
        for layer in (self.depth_encoder.conv_in, *self.depth_encoder.blocks):
            x = functional.silu(layer(x))
        y: Tensor = self.depth_encoder.conv_out(x)
        return y

    @torch.no_grad()
    def warmup(self, row: int, sample: Tensor, depth: Tensor, timestep: int, prompt: Tensor) -> Tensor:
        """Warm-up call ``row``: predicts eight frames at one timestep, and keeps what the row attends later.

        Args:
            row: of the caches, 0 to T - 1; call 0 begins a new stream.
            sample: [8, 4, h, w].
            depth: depth latents [8, 4, h, w].
            timestep: of all frames.
            prompt: [1, 77, D].

        Returns:
            eps [8, 4, h, w].
        """
        if row == 0:
            self.reset()
        timesteps = torch.full((sample.shape[0],), timestep)
        return self._run(sample, depth, timesteps, prompt, lambda module, x: module.warmup(row, x))

    @torch.no_grad()
    def step(self, number: int, sample: Tensor, depth: Tensor, timesteps: Tensor, prompt: Tensor) -> Tensor:
        """Streaming step ``number``, 0 the first after the warm-up; steps come one after the other.

        Args:
            number: s; 0 forgets the steps, not the warm-up, of a stream before.
            sample: [T, 4, h, w], row 0 the newest frame.
            depth: depth latents of the rows [T, 4, h, w].
            timesteps: int64 [T].
            prompt: [1, 77, D].

        Returns:
            eps [T, 4, h, w].
        """
        if number == 0:
            for attention in self._attentions():
                attention.forget_stream()
        elif number != self.steps:
            raise ValueError(f"step {number} after {self.steps} steps")
        self.steps = number + 1
        return self._run(sample, depth, timesteps, prompt, lambda module, x: module.step(number, x))

    def _run(
        self, sample: Tensor, depth: Tensor, timesteps: Tensor, prompt: Tensor, temporal: Temporal
    ) -> Tensor:
        self.calls += 1
        unet = self.unet
        text = prompt.to(self.dtype).expand(sample.shape[0], -1, -1)
        time = unet.time_embedding(unet.time_proj(timesteps).to(self.dtype))
        x = unet.conv_in(sample.to(self.dtype)) + self.condition(depth.to(self.dtype))
        modules = iter(self.modules)

        def layer(block: Any, index: int, x: Tensor) -> Tensor:
            x = block.resnets[index](x, time)
            if hasattr(block, "attentions"):
                x = block.attentions[index](x, encoder_hidden_states=text, return_dict=False)[0]
            return temporal(next(modules), x)

        skips = [x]
        for block in unet.down_blocks:
            for index in range(len(block.resnets)):
                x = layer(block, index, x)
                skips.append(x)
            for downsampler in block.downsamplers or ():
                x = downsampler(x)
                skips.append(x)
        x = unet.mid_block(x, time, encoder_hidden_states=text)
        for block in unet.up_blocks:
            for index in range(len(block.resnets)):
                x = layer(block, index, torch.cat((x, skips.pop()), dim=1))
            for upsampler in block.upsamplers or ():
                x = upsampler(x)
        y: Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))
        return y

    def _attentions(self) -> Iterator[LiteralAttention]:
        for module in self.modules:
            yield from module.attentions

    def sinks(self) -> Mapping[str, NDArray[np.float32]]:
        """``sink_00``, ``sink_01``, ...: what ``temporal_state.sink_specs`` describes; of now, each made when
        it is asked for."""
        return self._named("sink", [attention.sinks for attention in self._attentions()])

    def rings(self, steps: int | None = None) -> Mapping[str, NDArray[np.float32]]:
        """``ring_00``, ``ring_01``, ...: what ``temporal_state.ring_specs`` describes, after ``steps``
        streaming steps (default: those that were made); of now, each made when it is asked for."""
        count = self.steps if steps is None else steps
        return self._named("ring", [partial(attention.rings, count) for attention in self._attentions()])

    def _named(self, prefix: str, makers: list[Callable[[], Tensor]]) -> Lazy[NDArray[np.float32]]:
        """Keys and values are twice the features that they are made of, so not all are held at once."""
        asked = self.calls

        def value(make: Callable[[], Tensor]) -> NDArray[np.float32]:
            if self.calls != asked:
                raise RuntimeError(f"{prefix} caches from before the last call: they are not kept")
            with torch.no_grad():
                found: NDArray[np.float32] = make().float().numpy()
            return found

        return Lazy({f"{prefix}_{index:02d}": partial(value, make) for index, make in enumerate(makers)})

"""The literal stream: diffusers' own networks around the literal latent machine. The judge of the export.

uint8 frames in [-1, 1] through the autoencoder (the KL one's mean), the machine's call over T rows through
``UNet2DConditionModel.forward`` with prompt embeddings for every row, the oldest row back through the
autoencoder. Nothing is cached, split or rewritten; slow on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from v2v_export.diffusion.conditioning import Embeddings
from v2v_export.diffusion.literal_filter import LiteralFilter
from v2v_export.system import ReferenceFrame
from v2v_export.systems.stream_diffusion.errors import StreamOptionError
from v2v_export.systems.stream_diffusion.machine import LatentMachine
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions
from v2v_export.systems.stream_diffusion.schedule import literal_steps


class ReferenceStream:
    """One stream of frames.

    Args:
        unet: ``UNet2DConditionModel``.
        vae: ``AutoencoderTiny`` or ``AutoencoderKL``.
        prompts: float32, one row each: the prompt alone, or [negative, prompt]. May be set between frames.
        time_ids: SDXL's sizes [rows, 6].
        init_noise: [T, 4, h, w].
        dtype: float32, or float64 for a judge without rounding. The modules are in that type already.
    """

    def __init__(
        self,
        unet: nn.Module,
        vae: nn.Module,
        prompts: Embeddings,
        init_noise: Tensor,
        options: StreamDiffusionOptions,
        time_ids: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.unet: Any = unet
        self.vae: Any = vae
        self.prompts, self.time_ids, self.options, self.dtype = prompts, time_ids, options, dtype
        self.machine = LatentMachine(
            literal_steps(options.t_index_list, dtype, options.sampler, options.fresh),
            init_noise,
            self._predict,
            cfg=options.cfg,
            guidance=options.guidance,
            delta=options.delta,
            add_noise=options.add_noise,
        )
        self.reset()

    def reset(self) -> None:
        """Back to before the first frame."""
        self.machine.reset()
        self.frames = 0
        self.clean: Tensor | None = None

    @torch.no_grad()
    def step(self, frame: NDArray[np.uint8]) -> ReferenceFrame | None:
        """The next frame, uint8 [H, W, 3]; None while the rows fill up.

        Raises:
            StreamOptionError: V2V-E6213, not such a frame, or one of another size.
        """
        self.clean = self.machine.step(self.encode(frame))
        self.frames += 1
        if self.frames < self.options.rows:
            return None
        picture = self.decode(self.clean)
        levels = ((picture + 1) * 127.5).round().to(torch.uint8)
        return ReferenceFrame(picture.float().numpy(), levels.permute(1, 2, 0).contiguous().numpy())

    @torch.no_grad()
    def encode(self, frame: NDArray[np.uint8]) -> Tensor:
        """uint8 [H, W, 3] -> latent [1, 4, H / 8, W / 8], scaled for the UNet."""
        height, width = (8 * side for side in self.machine.init_noise.shape[2:])
        if frame.dtype != np.uint8 or frame.shape != (height, width, 3):
            raise StreamOptionError(
                "V2V-E6213",
                f"frame: {frame.dtype} {list(frame.shape)}",
                f"uint8 {[height, width, 3]}, RGB",
                "convert or resize the frame before the step",
            )
        picture = torch.from_numpy(frame.copy()).to(self.dtype).permute(2, 0, 1)[None] / 127.5 - 1
        encoded = self.vae.encode(picture)
        latent: Tensor = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mean
        factor: float = self.vae.config.scaling_factor
        return latent * factor

    @torch.no_grad()
    def decode(self, clean: Tensor) -> Tensor:
        """[1, 4, h, w] -> picture [3, 8h, 8w], clamped to [-1, 1]."""
        picture: Tensor = self.vae.decode(clean / self.vae.config.scaling_factor).sample[0]
        return picture.clamp(-1, 1)

    def _predict(self, x: Tensor, t: Tensor, uncond: tuple[bool, ...]) -> Tensor:
        """The noise that the UNet sees in every row."""
        rows = [0 if row else len(self.prompts.embeds) - 1 for row in uncond]
        embeds, added = self.prompts.embeds[rows].to(self.dtype), None
        if self.prompts.pooled is not None:
            assert self.time_ids is not None
            pooled = self.prompts.pooled[rows].to(self.dtype)
            added = {"text_embeds": pooled, "time_ids": self.time_ids[rows]}
        made: Tensor = self.unet(x, t, embeds, added_cond_kwargs=added).sample
        if not self.options.velocity:
            return made
        steps = self.machine.steps
        # The rows of x stand behind the unconditional ones, which repeat the first of them.
        at = [int((steps.timesteps == time).nonzero()) for time in t]
        return steps.alpha[at] * made + steps.beta[at] * x


class LiteralStream:
    """The literal stream in the form that parity reads (``v2v_export.system.Reference``).

    Args:
        derived: gives what the slots that follow from the prompt must hold.
        similarity: skips frames, where the stream does.
    """

    def __init__(
        self,
        stream: ReferenceStream,
        derived: Callable[[], Mapping[str, NDArray[Any]]],
        similarity: LiteralFilter | None = None,
    ) -> None:
        self.stream, self._similarity = stream, similarity
        self._derived = cache(derived)
        self._shown: ReferenceFrame | None = None

    def reset(self) -> None:
        self.stream.reset()
        self._shown = None
        if self._similarity is not None:
            self._similarity.reset()

    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        (frame,) = frames
        if self._similarity is None or not self._similarity.skip(frame):
            self._shown = self.stream.step(frame)
        return [] if self._shown is None else [self._shown]

    def slots(self) -> Mapping[str, NDArray[Any]]:
        if self.stream.frames == 0:
            return {}
        machine, options = self.stream.machine, self.stream.options
        state: dict[str, NDArray[Any]] = {}
        if options.rows > 1:
            state["x_buf"] = machine.buffer.numpy()
        if options.residual:
            state["stock"] = machine.stock.numpy()
        shown = self._shown.rgb8 if self._shown is not None else None
        memory = self._similarity.slots(shown) if self._similarity is not None else {}
        return {**state, **memory, **self._derived()}

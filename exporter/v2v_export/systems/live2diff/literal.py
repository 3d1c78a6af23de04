"""The literal stream: published modules in PyTorch, nothing rewritten (``v2v_export.system.Reference``).

Autoencoder and UNet layers are diffusers' own, detector and text encoder transformers'; the temporal
attention is computed anew from all that it has seen, and the loop over latents is ``latent_loop``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from v2v_export.diffusion.conditioning import Conditioning
from v2v_export.diffusion.literal_filter import LiteralFilter
from v2v_export.diffusion.precision import in_precision, recast
from v2v_export.lazy import Lazy
from v2v_export.system import ReferenceFrame
from v2v_export.systems.live2diff.errors import GeometryError
from v2v_export.systems.live2diff.latent_loop import LatentLoop
from v2v_export.systems.live2diff.options import WARMUP_FRAMES, Live2DiffOptions
from v2v_export.systems.live2diff.reference_unet import LiteralUnet
from v2v_export.systems.live2diff.sources import Sources
from v2v_export.systems.live2diff.temporal_state import RING


class LiteralStream:
    """Frames in, frames out, slow on purpose.

    Args:
        sources: the weights.
        conditioning: gives the default prompt's embeddings.
        options: of the stream.
        tables: its noise, by the names of the program's consts.
        similarity: skips frames after the warm-up, where the stream does.
        dtype: float32, or float64 to measure float32 with.
    """

    def __init__(
        self,
        sources: Sources,
        conditioning: Conditioning,
        options: Live2DiffOptions,
        tables: Mapping[str, NDArray[Any]],
        similarity: LiteralFilter | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype, self.cache = dtype, options.cache
        unet, parts = recast(sources.unet.load(), dtype), recast(sources.temporal.load(), dtype)
        self.unet = LiteralUnet(unet, parts, options.rows, dtype, official_startup=options.official_startup)
        self.vae: Any = recast(sources.vae.load(), dtype).eval()
        self.detector: Any = recast(sources.depth.load(), dtype).eval()
        embeddings = conditioning.literal()
        self.embeds = embeddings.embeds.to(dtype)
        self.prompt_slots = conditioning.literal_slots(in_precision(unet, torch.float32), embeddings)
        self.noise_start = torch.from_numpy(tables["noise_start"]).to(dtype)
        noise_step = tables.get("noise_step")
        self.noise_step = (
            [torch.from_numpy(row).to(dtype) for row in noise_step] if noise_step is not None else []
        )
        self.loop = LatentLoop(self.unet, options.timesteps().values, options.add_noise)
        self.similarity = similarity
        self.frames = 0
        self.shown: ReferenceFrame | None = None

    def reset(self) -> None:
        self.unet.reset()
        self.frames = 0
        self.shown = None
        if self.similarity is not None:
            self.similarity.reset()

    @torch.no_grad()
    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        wanted = 1 if self.frames else WARMUP_FRAMES
        if frames.shape[0] != wanted or frames.ndim != 4 or frames.dtype != np.uint8:
            raise GeometryError(
                "V2V-E6276",
                f"{frames.dtype} array {list(frames.shape)}",
                f"uint8 [{wanted}, H, W, 3]",
                "give eight frames at first, then one at a time",
            )
        # The filter belongs to the phase after the warm-up, and counts that phase's frames alone.
        if self.frames and self.similarity is not None and self.similarity.skip(frames[0]):
            return [] if self.shown is None else [self.shown]
        pictures = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).to(self.dtype) / 127.5 - 1
        latents, depths = self.encode(pictures), self.encode(self.depth(pictures))
        index = [(self.frames + offset) % len(self.noise_start) for offset in range(wanted)]
        start, between = self.noise_start[index], [row[index] for row in self.noise_step]
        play = self.loop.step if self.frames else self.loop.warmup
        clean = play(latents, depths, self.embeds, start, between)
        self.frames += wanted
        if wanted == 1 and self.loop.steps < self.loop.rows:
            return []
        made = [ReferenceFrame(*picture) for picture in self._pictures(clean)]
        # The warm-up's frames are nobody's last picture: the first skip comes after a frame of the stream.
        self.shown = made[-1] if wanted == 1 else None
        return made

    def encode(self, pictures: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] -> scaled latents."""
        encoded = self.vae.encode(pictures)
        mean: Tensor = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mean
        latents: Tensor = mean * self.vae.config.scaling_factor
        return latents

    def depth(self, pictures: Tensor) -> Tensor:
        """Section 2 of the method; -1 everywhere where the detector sees no difference in depth."""
        side = self.detector.config.image_size
        square = functional.interpolate(pictures, (side, side), mode="bilinear")
        depth = self.detector(square).predicted_depth
        low, high = depth.min(), depth.max()
        depth = (depth - low) / (high - low) if high > low else torch.zeros_like(depth)
        three = (depth * 2 - 1)[:, None].repeat(1, 3, 1, 1)
        wide: Tensor = functional.interpolate(three, pictures.shape[-2:], mode="bilinear")
        return wide

    @torch.no_grad()
    def slots(self) -> Mapping[str, NDArray[Any]]:
        if not self.frames:
            return {}
        shown = self.shown.rgb8 if self.shown is not None else None
        memory = self.similarity.slots(shown) if self.similarity is not None else {}
        groups = (self.prompt_slots, self.unet.sinks(), self._rings(), self._buffers(), memory)
        return Lazy({name: partial(group.__getitem__, name) for group in groups for name in group})

    def _rings(self) -> Mapping[str, NDArray[Any]]:
        rings = self.unet.rings(self.loop.steps)
        if self.cache == "delta":
            return rings
        return Lazy({name: partial(_in_place, rings, name) for name in rings})

    def _buffers(self) -> dict[str, NDArray[Any]]:
        """What rides along with the frames in flight."""
        if self.loop.rows == 1:
            return {}
        assert self.loop.x_buffer is not None
        assert self.loop.depth_buffer is not None
        condition = self.unet.condition(self.loop.depth_buffer)
        return {"x_buffer": self.loop.x_buffer.float().numpy(), "cond_buffer": condition.float().numpy()}

    def _pictures(self, clean: Tensor) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        decoded = self.vae.decode(clean / self.vae.config.scaling_factor).sample.float().clamp(-1, 1)
        levels = ((decoded + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
        return list(zip(decoded.numpy(), levels.numpy(), strict=True))


def _in_place(rings: Mapping[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """A ring in the shape of ``cache = "in_place"``."""
    return rings[name].reshape(1, 1, RING, -1)

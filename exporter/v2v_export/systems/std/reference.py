"""The literal stream: diffusers' own UNet, autoencoder and TCD scheduler, one latent at a time.

As the SDXL image-to-image pipeline does it with an STD student: partial noise at the strength's first
timestep, N steps of ``TCDScheduler`` with eta 0 (diffusers' name for gamma), each with both predictions of
classifier-free guidance, and the same start noise for every frame. Nothing is in a table and nothing is
batched: in mode ``batched`` each frame in flight has a scheduler of its own and takes one step per frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import TCDScheduler
from numpy.typing import NDArray
from torch import Tensor, nn
from v2v_export.system import ReferenceFrame
from v2v_export.systems.std.errors import StudentOptionError
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.schedule import scheduler_steps, strength_and_steps


@dataclass(frozen=True)
class Conditioning:
    """What SDXL's UNet is told besides the latent; row 0 is the negative prompt, row 1 the prompt.

    Attributes:
        embeds: [2, 77, D], both text encoders' features side by side.
        pooled: [2, P], the second encoder's projected feature.
        time_ids: [2, 6]: original height and width, crop top and left, target height and width, in pixels.
    """

    embeds: Tensor
    pooled: Tensor
    time_ids: Tensor


def time_ids(height: int, width: int) -> NDArray[np.float32]:
    """SDXL's size conditioning of an uncropped frame of this size, for both prompts: float32 [2, 6]."""
    return np.array([(height, width, 0, 0, height, width)] * 2, np.float32)


def make_scheduler(options: StdOptions) -> TCDScheduler:
    """diffusers' scheduler at the first timestep of these options."""
    scheduler = TCDScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
    )
    if options.timesteps:
        scheduler.set_timesteps(timesteps=list(options.timesteps))
        scheduler.set_begin_index(0)
        return scheduler
    strength, steps = strength_and_steps(options)
    count = scheduler_steps(strength, steps)
    scheduler.set_timesteps(count)
    # StableDiffusionXLImg2ImgPipeline.get_timesteps
    scheduler.set_begin_index(count - min(int(count * strength), count))
    return scheduler


class Trajectory:
    """One frame's latent on its way from noise, with the scheduler that leads it.

    Args:
        begin: steps that are behind it already: the empty rows of a new stream begin further on.
    """

    def __init__(self, options: StdOptions, x: Tensor, begin: int = 0) -> None:
        self.x, self._scheduler = x, make_scheduler(options)
        self._scheduler.set_begin_index(self._scheduler.begin_index + begin)
        self._left = list(self._scheduler.timesteps[self._scheduler.begin_index :])

    @property
    def steps_left(self) -> int:
        """How many steps are before it."""
        return len(self._left)

    def step(self, predict: Callable[[Tensor, Tensor], Tensor]) -> None:
        """One step down; ``predict(x, t)`` gives the guided noise of a latent at a timestep."""
        t = self._left.pop(0)
        noise = predict(self.x, t)
        self.x = self._scheduler.step(noise, t, self.x, eta=0.0, return_dict=False)[0]


class ReferenceStream:
    """See the module's docstring. It computes in the type of the modules it is given.

    Args:
        unet: diffusers' ``UNet2DConditionModel`` with the student's LoRA fused.
        vae: ``AutoencoderTiny`` or ``AutoencoderKL``.
        noise: the start noise, [1, 4, h, w].
    """

    def __init__(
        self,
        unet: nn.Module,
        vae: nn.Module,
        options: StdOptions,
        conditioning: Conditioning,
        noise: Tensor,
    ) -> None:
        self.unet: Any = unet
        self.vae: Any = vae
        self.options = options
        self.dtype = next(unet.parameters()).dtype
        self.noise = noise.to(self.dtype)
        self.guidance = options.guidance
        self.condition(conditioning)
        self.reset()

    def condition(self, conditioning: Conditioning) -> None:
        """Another prompt, from the next step on. Frames in flight go on with it."""
        self.conditioning = Conditioning(
            conditioning.embeds.to(self.dtype),
            conditioning.pooled.to(self.dtype),
            conditioning.time_ids.to(self.dtype),
        )

    def reset(self) -> None:
        """Back to before the first frame. Rows in flight that no frame has filled yet hold zeros."""
        self.started = False
        self.latent: Tensor | None = None
        empty = torch.zeros_like(self.noise)
        steps = Trajectory(self.options, empty).steps_left
        rows = range(1, steps) if self.options.mode == "batched" else range(0)
        self.in_flight = [Trajectory(self.options, empty, row) for row in rows]
        self._to_drop = len(self.in_flight)

    @torch.no_grad()
    def step(self, frame: NDArray[np.uint8]) -> ReferenceFrame | None:
        """One frame uint8 [H, W, 3]; None while frames are owed. ``latent`` holds what was decoded."""
        self.started = True
        newest = Trajectory(self.options, self.start(frame))
        if self.options.mode == "batched":
            rows = [newest, *self.in_flight]
            for row in rows:
                row.step(self.predict)
            self.in_flight, finished = rows[:-1], rows[-1]
        else:
            finished = newest
            while finished.steps_left:
                finished.step(self.predict)
        self.latent = finished.x
        if self._to_drop:
            self._to_drop -= 1
            return None
        return self.decode(self.latent)

    def start(self, frame: NDArray[np.uint8]) -> Tensor:
        """The frame's latent at the first timestep's noise level."""
        scheduler = make_scheduler(self.options)
        first = scheduler.timesteps[scheduler.begin_index : scheduler.begin_index + 1]
        noisy: Tensor = scheduler.add_noise(self.encode(frame), self.noise, first)
        return noisy

    def encode(self, frame: NDArray[np.uint8]) -> Tensor:
        """uint8 [H, W, 3] -> latent [1, 4, h, w]; the mean of the KL autoencoder's distribution."""
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape[2:] != (3,):
            seen = f"{frame.dtype} array {frame.shape}" if isinstance(frame, np.ndarray) else str(type(frame))
            raise StudentOptionError(
                "V2V-E6232", f"frame: {seen}", "uint8 array [H, W, 3], RGB", "convert the frame"
            )
        levels = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))[None]
        encoded = self.vae.encode(levels.to(self.dtype) / 127.5 - 1)
        z = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mean
        scaled: Tensor = z * self.vae.config.scaling_factor
        return scaled

    def predict(self, x: Tensor, t: Tensor) -> Tensor:
        """The guided noise for a latent [1, 4, h, w] at a timestep."""
        told = {"text_embeds": self.conditioning.pooled, "time_ids": self.conditioning.time_ids}
        both = self.unet(
            torch.cat([x, x]), t, self.conditioning.embeds, added_cond_kwargs=told, return_dict=False
        )[0]
        uncond, cond = both.chunk(2)
        guided: Tensor = uncond + self.guidance * (cond - uncond)
        return guided

    def decode(self, latent: Tensor) -> ReferenceFrame:
        """Clamped to [-1, 1], then rounded half to even, as diffusers' image processor saves pictures."""
        picture = self.vae.decode(latent / self.vae.config.scaling_factor, return_dict=False)[0][0]
        levels = (picture / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).float().numpy() * 255
        return ReferenceFrame(picture.clamp(-1, 1).float().numpy(), levels.round().astype(np.uint8))

    def slots(self) -> Mapping[str, Tensor]:
        """The frames in flight: ``waiting`` [N - 1, 4, h, w], the newest first; empty in mode ``loop``."""
        if not self.in_flight:
            return {}
        return {"waiting": torch.cat([row.x for row in self.in_flight])}

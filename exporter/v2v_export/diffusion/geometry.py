"""Frames and latents of a diffusion stream: their shapes, and the sizes that its networks take. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from v2v_runtime.manifest.model import TensorSpec

from v2v_export.diffusion.errors import GeometryError
from v2v_export.system import FrameSize

SCALE = 8
"""Pixels per latent on each side, of every autoencoder here."""

LATENT_CHANNELS = 4
"""Of every autoencoder and every UNet here."""


MOST_STEPS = 8
"""Denoising steps that a frame may take: distilled models need 1 to 8. In a batch each one is a row of the
UNet's call and a frame of delay, in a loop one more run of it."""


def frame_spec(size: FrameSize, frames: int = 1) -> TensorSpec:
    """A frame port: uint8 [frames, H, W, 3]."""
    return TensorSpec("uint8", (frames, size.height, size.width, 3))


def picture_spec(size: FrameSize, frames: int = 1) -> TensorSpec:
    """What levels are rounded from: float32 [frames, 3, H, W] in [-1, 1]."""
    return TensorSpec("float32", (frames, 3, size.height, size.width))


def latent_size(size: FrameSize) -> tuple[int, int]:
    """Height and width of a frame's latent."""
    return size.height // SCALE, size.width // SCALE


def latent_spec(size: FrameSize, *rows: int) -> TensorSpec:
    """Latents [*rows, 4, H / 8, W / 8], float32 in every variant: what a sampler does to them costs nothing
    beside the networks, and half precision would round at every step of every frame."""
    return TensorSpec("float32", (*rows, LATENT_CHANNELS, *latent_size(size)))


@dataclass(frozen=True)
class SideRule:
    """What both sides of a frame must be a multiple of.

    Attributes:
        multiple: in pixels, at least 1.
        why: for the error message.
    """

    multiple: int
    why: str


def halved(levels: int, unet: str) -> SideRule:
    """The rule of a UNet with so many levels: each but the last halves the latent, and doubles it again."""
    return SideRule(
        SCALE * 2 ** (levels - 1), f"{SCALE} pixels per latent, halved {levels - 1} times in {unet}'s UNet"
    )


def check_frame_size(size: FrameSize, rule: SideRule, hint: str = "resize frames before the stream") -> None:
    """Raises V2V-E6121 for a frame whose sides are no such multiples; the nearest ones are in the message.

    Args:
        hint: what else helps, said behind the nearest size.
    """
    multiple, sides = rule.multiple, (size.height, size.width)
    if all(side > 0 and side % multiple == 0 for side in sides):
        return
    near = " x ".join(str(max(1, (side + multiple // 2) // multiple) * multiple) for side in sides)
    raise GeometryError(
        "V2V-E6121",
        f"frames of {size.height} x {size.width} (height x width)",
        f"multiples of {multiple}: {rule.why}",
        f"use {near}; {hint}",
    )


def check_steps(steps: int, seen: str, fix: str) -> None:
    """Raises V2V-E6122 for a frame that takes more than ``MOST_STEPS`` denoising steps.

    Args:
        seen: the option that says so, with its value.
        fix: what to set instead.
    """
    if steps > MOST_STEPS:
        raise GeometryError(
            "V2V-E6122",
            f"{seen}: {steps} denoising steps for each frame",
            f"at most {MOST_STEPS}: each is a run of the UNet, or a row of it and a frame of delay",
            fix,
        )

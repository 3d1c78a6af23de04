"""The recipe's ``[options]`` of STD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from v2v_export.diffusion.option_levers import prompt_form, small_vae
from v2v_export.levers import lever


@dataclass(frozen=True)
class StdOptions:
    """What one stream of this system can choose.

    Attributes:
        mode: ``loop``: every frame runs all N steps at once, and comes out in the step that it went in.
            ``batched``: N frames are in flight, one step each, so a frame costs one run of the UNet on N
            times the rows and comes out N - 1 frames later.
        strength: eta, the share of noise that a frame starts with; a student's LoRA was trained for one of
            0.65, 0.75, 0.85 and 0.95. None: 0.75, unless ``timesteps`` are given.
        steps: N, runs of the UNet for one frame: 8, 6 or 4 as published, at most 8. None: 8, unless
            ``timesteps`` are given.
        timesteps: explicit timesteps, falling, in place of ``strength`` and ``steps``: to begin at the
            trained start 779 of strength 0.75 instead of diffusers' 739, say.
        guidance: the default of the param of that name: w of ``uncond + w (cond - uncond)``.
            Any number; diffusers has no guidance at 1 and below, here the formula goes on.
        seed: of the start noise, one for all frames.
        prompt: what the prompt's param holds: ``tokens``, which the bundle's text encoders read, or
            ``embeddings``, without text encoders in the bundle.
        text, negative_text: the default prompts.
        architecture: the UNet and its text encoders; ``tiny_sdxl`` is a narrow one for trials.
        vae: the autoencoder: ``taesdxl`` (small and quick) or ``kl_sdxl`` (the full one; its mean).
    """

    mode: Literal["loop", "batched"] = lever(
        "loop", "activations", advice='mode = "loop"', spent=lambda mode: mode == "loop"
    )
    strength: float | None = None
    steps: int | None = None
    timesteps: tuple[int, ...] = ()
    guidance: float = 6.0
    seed: int = 0
    prompt: Literal["tokens", "embeddings"] = prompt_form("tokens")
    text: str = ""
    negative_text: str = ""
    architecture: Literal["sdxl", "tiny_sdxl"] = "sdxl"
    vae: Literal["taesdxl", "kl_sdxl", "tiny_taesd", "tiny_kl"] = small_vae("taesdxl")

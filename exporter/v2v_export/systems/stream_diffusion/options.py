"""The recipe's ``[options]`` of StreamDiffusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from v2v_export.diffusion.network_slots import AUTOENCODERS
from v2v_export.diffusion.option_levers import prompt_form, small_vae
from v2v_export.levers import lever

CfgType = Literal["none", "self", "initialize", "full"]
"""``none``: the prediction as it is. ``full``: true guidance, two rows per step. ``self``, ``initialize``:
residual guidance (RCFG), whose unconditional prediction is a virtual residual noise carried along the rows;
``initialize`` takes its start from one unconditional row, ``self`` from the first noise."""

Sampler = Literal["lcm", "tcd", "ddim", "turbo"]
"""``lcm``: the clean latent is guessed and noised again (LCM-LoRA, and what the published code has). ``tcd``:
back along the trajectory and up again (TCD-LoRA, Hyper-SD). ``ddim``: along the trajectory, without noise.
``turbo``: Euler's method to the clean latent; one step of it is SD-Turbo's."""

GAMMA = 0.3
"""TCD's share of fresh noise, as its authors set it."""

Architecture = Literal["sd15", "sd21", "sd_turbo", "sdxl", "tiny_sd15", "tiny_sd21", "tiny_sdxl"]
Vae = Literal["taesd", "taesdxl", "kl_sd", "kl_sdxl", "tiny_taesd", "tiny_kl"]


@dataclass(frozen=True)
class StreamDiffusionOptions:
    """What one stream of this system can choose.

    Attributes:
        architecture: the UNet's, and the text encoders that belong to it. Weights of another one are
            refused.
        vae: the autoencoder's architecture, one of the UNet's own latents; a TAESD is ten times cheaper than
            the KL autoencoder that the model was trained with. None: the TAESD.
        t_index_list: one denoising step per entry, indices into 50 timesteps: index i is timestep 999 - 20 i.
            Rising; the first one says how much of the frame is given up. SD-Turbo in one step is (0,).
        sampler: how a step leads to the next, see ``Sampler``; the one that the weights were distilled for.
        gamma: of sampler tcd: which share of the way up is fresh noise, 0 to 1. None: 0.3.
        cfg: how guidance is computed, see ``CfgType``.
        guidance: the param's value at the start; at most 1 is off. Without effect, and refused, at cfg none.
        delta: weight of the virtual residual noise in cfg self and initialize; the param's value at the
            start.
        add_noise: of sampler lcm: noise a latent again on its way to the next step. Without, steps lead
            straight on.
        seed: of the noise that every frame shares, drawn as the published code draws it.
        prediction: what the UNet was trained to predict. None: what the scheduler's configuration of the
            weights says; where they have none, v for sd21 (the model for 768 pixels), noise for the others.
        prompt: what the param is: ``tokens`` (a graph with the text encoders is in the bundle) or
            ``embeddings`` (no text encoder needed).
        text, negative_text: the prompts at the start. The negative one is for cfg initialize and full, the
            others have no unconditional row.
        clip_skip: layers of the text encoder to leave out at its end.
        similarity: skip frames that are like the last one that was processed (the published filter). Off by
            default: which frames are skipped is drawn at random.
        similarity_threshold: eta, the cosine from which on skipping begins; 1 skips nothing.
        max_skip: skips in a row that are followed by a processed frame at the latest, plus one as published.
    """

    architecture: Architecture = "sd15"
    vae: Vae | None = small_vae(None)  # noqa: RUF009 - it makes a field
    t_index_list: tuple[int, ...] = lever(
        (32, 45),
        "activations",
        advice="fewer entries in t_index_list",
        spent=lambda indices: len(indices) == 1,
    )
    sampler: Sampler = "lcm"
    gamma: float | None = None
    cfg: CfgType = lever(  # noqa: RUF009 - it makes a field
        "none",
        "activations",
        advice='cfg = "self", which has no rows of its own',
        spent=lambda cfg: cfg in ("none", "self"),
    )
    guidance: float = 1.0
    delta: float = 1.0
    add_noise: bool = True
    seed: int = 2
    prediction: Literal["epsilon", "v_prediction"] | None = None
    prompt: Literal["tokens", "embeddings"] = prompt_form("tokens")
    text: str = ""
    negative_text: str = ""
    clip_skip: int = 0
    similarity: bool = False
    similarity_threshold: float = 0.98
    max_skip: int = 10

    @property
    def rows(self) -> int:
        """T, the denoising steps, and the frames in flight."""
        return len(self.t_index_list)

    @property
    def autoencoder(self) -> str:
        """The autoencoder's architecture."""
        return self.vae or AUTOENCODERS[self.architecture][0]

    @property
    def fresh(self) -> float:
        """TCD's gamma."""
        return GAMMA if self.gamma is None else self.gamma

    @property
    def residual(self) -> bool:
        """Whether residual noise is carried along."""
        return self.cfg in ("self", "initialize")

    @property
    def velocity(self) -> bool:
        """Whether the UNet predicts v."""
        named = self.prediction or ("v_prediction" if self.architecture == "sd21" else "epsilon")
        return named == "v_prediction"

    @property
    def prompt_rows(self) -> int:
        """Prompts that the network sees: the prompt alone, or [negative, prompt]."""
        return 2 if self.cfg in ("initialize", "full") else 1

    @property
    def cross_rows(self) -> tuple[int, ...] | None:
        """The prompt row of each row of the cross-attention's K and V; None: as many rows as prompts.

        Rows of K and V are shared by equal groups of the batch: one serves all of cfg none and self, two the
        halves of full. The groups of initialize are 1 and T, so each of its rows has its own.
        """
        return (0,) + (1,) * self.rows if self.cfg == "initialize" and self.rows > 1 else None

"""The networks of one recipe: opened by their headers, read when they are needed, LoRAs fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from v2v_export.diffusion.configs import Architecture, architecture
from v2v_export.diffusion.errors import WeightsError
from v2v_export.diffusion.fit import Keep
from v2v_export.diffusion.lora import open_loras
from v2v_export.diffusion.lora_names import Component
from v2v_export.diffusion.network_slots import AUTOENCODERS, TEXT_ENCODERS
from v2v_export.diffusion.prompting import Form
from v2v_export.diffusion.sources import ModuleSource, Part, open_module
from v2v_export.diffusion.tokens import load_tokenizers
from v2v_export.weights import RANDOM, Scaled, Weights, listed, one, optional

_ENCODER_PARTS: tuple[Literal["text_encoder", "text_encoder_2"], ...] = ("text_encoder", "text_encoder_2")


@dataclass(frozen=True)
class Network:
    """One network, with the LoRAs that go into it fused as it is read."""

    source: ModuleSource

    @property
    def architecture(self) -> Architecture:
        """What it is, with the checkpoint's own configuration where it has one."""
        return self.source.architecture

    @property
    def parameters(self) -> int:
        """How many numbers it holds; nothing is read for it."""
        return self.source.parameters

    def load(self, keep: Keep | None = None) -> nn.Module:
        """A module of the caller's own, in the type that it is stored in.

        Args:
            keep: which tensors are needed, by name; others may stay on the meta device. None: all.

        Raises:
            WeightsError: V2V-E6101 or V2V-E6105, unreadable or not finite.
            LoraError: V2V-E6112, not finite after fusing.
        """
        return self.source.load(keep)


@dataclass(frozen=True)
class Networks:
    """Everything that a diffusion stream is made of.

    Attributes:
        unet, vae: the networks.
        encoders: one text encoder, or SDXL's two; none where embeddings take their place.
        tokenizer: see ``tokens.load_tokenizers``; None without text encoders.
        embeddings: the file that holds the first prompt's embeddings.
    """

    unet: Network
    vae: Network
    encoders: tuple[Network, ...] = ()
    tokenizer: Mapping[str, NDArray[np.uint8]] | None = None
    embeddings: str | None = None

    def conditioning(self) -> dict[str, Any]:
        """The arguments of ``Conditioning`` that are networks."""
        return {
            "unet": self.unet,
            "encoders": self.encoders,
            "tokenizer": self.tokenizer,
            "embeddings": self.embeddings,
        }


def open_networks(weights: Weights, *, unet: str, vae: str, prompt: Form) -> Networks:
    """Finds what a recipe gives (``network_slots.SLOTS``) and checks it by configurations and headers.

    Args:
        unet, vae: architectures; the text encoders follow from the UNet's.
        prompt: with "embeddings" and a file of them, text encoders are not looked for.

    Raises:
        WeightsError: V2V-E6100 to V2V-E6107.
        LoraError: V2V-E6110 to V2V-E6112, a LoRA that does not fit.
        PromptError: V2V-E6164, a tokenizer is missing or cannot be read.
        RecipeError: V2V-E5008, a repository of the hub that cannot be had.
    """
    base, embeddings = one(weights, "base"), optional(weights, "prompt")
    sources: dict[Part, ModuleSource] = {"unet": open_module(optional(weights, "unet") or base, "unet", unet)}
    names, tokenizer = TEXT_ENCODERS[unet], None
    if prompt == "tokens" or embeddings is None:
        text = optional(weights, "text") or base
        for part, name in zip(_ENCODER_PARTS, names, strict=False):
            sources[part] = open_module(text, part, name)
        tokenizer = load_tokenizers(optional(weights, "tokenizer") or text, len(names))
    fused = _fused(sources, names, listed(weights, "lora"))
    return Networks(
        unet=fused["unet"],
        vae=Network(open_module(_vae_value(weights, base, unet, vae), "vae", vae)),
        encoders=tuple(fused[part] for part in _ENCODER_PARTS if part in fused),
        tokenizer=tokenizer,
        embeddings=embeddings if prompt == "embeddings" else None,
    )


def _fused(
    sources: Mapping[Part, ModuleSource], encoders: Sequence[str], given: Sequence[Scaled]
) -> dict[Part, Network]:
    modules: dict[Component, ModuleSource] = {
        part: source for part, source in sources.items() if part != "vae"
    }
    # What a LoRA has for text encoders that are not in this stream has gone into its embeddings.
    fitting: dict[Component, Architecture] = {
        part: architecture(name) for part, name in zip(_ENCODER_PARTS, encoders, strict=False)
    }
    loras = open_loras(given, fitting | {part: source.architecture for part, source in modules.items()})
    return {part: Network(source.with_loras(part, loras)) for part, source in modules.items()}


def _vae_value(weights: Weights, base: str, unet: str, vae: str) -> str:
    given = optional(weights, "vae")
    if given is not None:
        return given
    if architecture(vae).kind == "tiny_vae" and not base.startswith(RANDOM):
        full = AUTOENCODERS[unet][1]
        example = f"hub:madebyollin/{vae}" if vae in ("taesd", "taesdxl") else "random:0"
        raise WeightsError(
            "V2V-E6100",
            f'vae = "{vae}" and no weights for it',
            "a TAESD under [weights]: it is no part of a base checkpoint",
            f'write vae = "{example}", or take the base\'s own with the option vae = "{full}"',
        )
    return base

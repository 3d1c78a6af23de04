"""Every network of one stream: opened and checked by its headers, read when it is needed.

The UNet is put together in the order of the published code (method, section 1.6): Stable Diffusion 1.5, then
``live2diff.ckpt``, then a DreamBooth checkpoint over the spatial weights, then style LoRAs, then the LCM-LoRA
at scale 1. The tables of positions are projections of the temporal weights; the graphs make them last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from v2v_export.diffusion.configs import Architecture, architecture
from v2v_export.diffusion.lora import open_loras
from v2v_export.diffusion.lora_names import Component
from v2v_export.diffusion.networks import Network
from v2v_export.diffusion.sources import ModuleSource, open_module
from v2v_export.diffusion.tokens import load_tokenizers
from v2v_export.diffusion.trained import check_value
from v2v_export.remarks import remark
from v2v_export.systems.live2diff.depth_weights import DepthSource
from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_export.systems.live2diff.weights import TemporalSource
from v2v_export.weights import RANDOM, Scaled, Weights, listed, one, optional

_TEXT = {"sd15": "clip_l", "tiny_sd15": "tiny_clip"}
_DEPTH = {"sd15": "dpt_hybrid", "tiny_sd15": "tiny_dpt_hybrid"}

_WHOLE = 'give a whole pipeline, its folder or repository, as base; or take prompt = "embeddings"'

LCM_SCALE = 1.0
"""Of the LCM-LoRA: the stream's steps are those that it was distilled for."""


@dataclass(frozen=True)
class Sources:
    """The networks of one stream.

    Attributes:
        unet: the spatial UNet, everything fused.
        temporal: temporal modules and depth encoder.
        vae: the autoencoder.
        depth: the detector.
        encoders: the text encoder; none where embeddings take its place.
        tokenizer: see ``tokens.load_tokenizers``.
        embeddings: the file that holds the first prompt's embeddings.
    """

    unet: Network
    temporal: TemporalSource
    vae: Network
    depth: DepthSource
    encoders: tuple[Network, ...] = ()
    tokenizer: Mapping[str, Any] | None = None
    embeddings: str | None = None


def open_sources(weights: Weights, options: Live2DiffOptions) -> Sources:
    """Opens the weights of a recipe.

    Args:
        weights: ``base``, ``live2diff``, ``depth``; optional ``vae`` (else the DreamBooth checkpoint's or
            the base's), ``dreambooth``, ``lora`` (many), ``lcm_lora``, ``prompt`` (a file of embeddings).
        options: which architectures they must be of.

    Raises:
        WeightsError, LoraError, PromptError, RecipeError: a value that is none, cannot be had or read, or
            does not fit.
        SamplerError: V2V-E6155 or V2V-E6156, the pipeline that the spatial weights come from says that they
            predict something else than noise.
    """
    name = options.architecture
    base, dreambooth = one(weights, "base"), optional(weights, "dreambooth")
    spatial = dreambooth or base
    check_value(spatial, "epsilon", "take one that predicts noise, as Stable Diffusion 1.5 does")
    unet = open_module(spatial, "unet", name)
    temporal = TemporalSource(one(weights, "live2diff"), unet.architecture)
    if dreambooth is None and temporal.holds_spatial:
        # A DreamBooth checkpoint would overwrite every one of them again.
        unet = unet.with_tensors(temporal.origin, temporal.spatial)
    embeddings = optional(weights, "prompt") if options.prompt == "embeddings" else None
    text: tuple[ModuleSource, ...] = ()
    if embeddings is None:
        text = (open_module(spatial, "text_encoder", _TEXT[name]),)
    lcm = optional(weights, "lcm_lora")
    if lcm is None and not spatial.startswith(RANDOM):
        remark(
            f"no lcm_lora under [weights]: {options.rows} LCM steps a frame show noise and smear unless "
            "the spatial weights were distilled for them. Give the LCM-LoRA for SD1.5, or leave it out if "
            "it is merged into them or among lora."
        )
    given = (*listed(weights, "lora"), *([Scaled(lcm, LCM_SCALE)] if lcm is not None else []))
    # What a LoRA has for a text encoder that is not here has gone into the embeddings.
    modules: dict[Component, Architecture] = {
        "unet": unet.architecture,
        "text_encoder": text[0].architecture if text else architecture(_TEXT[name]),
    }
    loras = open_loras(given, modules)
    return Sources(
        unet=Network(unet.with_loras("unet", loras)),
        temporal=temporal,
        vae=Network(open_module(optional(weights, "vae") or spatial, "vae", options.vae)),
        depth=DepthSource(one(weights, "depth"), _DEPTH[name]),
        encoders=tuple(Network(item.with_loras("text_encoder", loras)) for item in text),
        tokenizer=load_tokenizers(base, fix=_WHOLE) if text else None,
        embeddings=embeddings,
    )

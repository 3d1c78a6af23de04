"""Every network of one stream: opened and checked by its headers, read when it is needed.

The UNet is put together in the order of the published code (method, section 1.6): Stable Diffusion 1.5, then
``live2diff.ckpt``, then a DreamBooth checkpoint over the spatial weights, then style LoRAs, then the LCM-LoRA
at scale 1. The tables of positions are projections of the temporal weights; the graphs make them last.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from v2v_export.diffusion.configs import Architecture
from v2v_export.diffusion.fit import Keep
from v2v_export.diffusion.sources import ModuleSource, Part, open_module
from v2v_export.systems.live2diff.depth_weights import DepthSource
from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_export.systems.live2diff.weights import TemporalSource
from v2v_export.weights import Scaled, Weights, listed, one, optional

_TEXT = {"sd15": "clip_l", "tiny_sd15": "tiny_clip"}
_DEPTH = {"sd15": "dpt_hybrid", "tiny_sd15": "tiny_dpt_hybrid"}
LCM_SCALE = 1.0


@dataclass(frozen=True)
class Fused:
    """A network with what is fused into it (``conditioning.Network``): a new one at every ``load``."""

    source: ModuleSource
    part: Part
    loras: tuple[Scaled, ...] = ()
    temporal: TemporalSource | None = None

    @property
    def architecture(self) -> Architecture:
        return self.source.architecture

    def load(self, keep: Keep | None = None) -> nn.Module:
        """See ``ModuleSource.load``; nothing keeps a hold on what is given."""
        # With a predicate the source keeps none either, so the module may be changed here.
        module = self.source.load(keep or _all if not self.loras else _all)
        if self.temporal is not None:
            self.temporal.overwrite_spatial(module, keep or _all)
        if not self.loras:
            return module
        from v2v_export.diffusion.lora import fuse_loras

        return fuse_loras(module, self.loras, self.part)


class Sources:
    """The weights of a recipe, checked.

    Args:
        weights: the recipe's values: ``base``, ``live2diff``, ``depth``; optional ``vae`` (else the base's or
            the DreamBooth checkpoint's), ``dreambooth``, ``lora`` (many), ``lcm_lora``.
        options: which architectures they must be of.

    Raises:
        WeightsError, LoraError: a value that is none, cannot be read or does not fit.
    """

    def __init__(self, weights: Weights, options: Live2DiffOptions) -> None:
        name = options.architecture
        base, dreambooth = one(weights, "base"), optional(weights, "dreambooth")
        self.tokenizer = base
        spatial = dreambooth or base
        unet = open_module(spatial, "unet", name)
        text = open_module(spatial, "text_encoder", _TEXT[name])
        self.vae = open_module(optional(weights, "vae") or spatial, "vae", options.vae)
        self.temporal = TemporalSource(one(weights, "live2diff"), unet.architecture)
        self.depth = DepthSource(one(weights, "depth"), _DEPTH[name])
        lcm = optional(weights, "lcm_lora")
        loras = (*listed(weights, "lora"), *([Scaled(lcm, LCM_SCALE)] if lcm is not None else []))
        # A DreamBooth checkpoint comes after live2diff.ckpt and overwrites every spatial weight.
        under = self.temporal if dreambooth is None else None
        self.unet = Fused(unet, "unet", loras, under)
        self.text = Fused(text, "text_encoder", loras)


def _all(name: str) -> bool:
    return True

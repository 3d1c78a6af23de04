"""What a recipe of a diffusion stream gives under ``[weights]``, and which networks belong to a UNet."""

from __future__ import annotations

from v2v_export.weights import TOP, WeightSlot

ADAPTER_CONFIG = "adapter_config.json"
"""What peft writes beside a LoRA: its alphas."""

_TOKENIZER_PARTS = ("tokenizer", "tokenizer_2")
_TEXT_PARTS = ("text_encoder", "text_encoder_2", *_TOKENIZER_PARTS)

SLOTS = (
    WeightSlot(
        "base",
        forms=("file", "folder", "hub", "random"),
        parts=("unet", "vae", "scheduler", *_TEXT_PARTS),
    ),
    WeightSlot("unet", required=False, forms=("file", "folder", "hub"), parts=("unet", "scheduler")),
    WeightSlot("vae", required=False, forms=("file", "folder", "hub", "random"), parts=("vae",)),
    WeightSlot("text", required=False, forms=("folder", "hub", "random"), parts=_TEXT_PARTS),
    WeightSlot("tokenizer", required=False, forms=("folder", "hub", "random"), parts=_TOKENIZER_PARTS),
    WeightSlot("prompt", required=False, forms=("file",)),
    WeightSlot(
        "lora",
        required=False,
        many=True,
        forms=("file", "folder", "hub", "random"),
        parts=TOP,
        beside=(ADAPTER_CONFIG,),
    ),
)
"""``base``: a pipeline's folder or repository, one checkpoint file, or random. The others take the place of
one part of it: ``unet``; ``vae`` (a TAESD is in no base); ``text``, text encoders with their tokenizers;
``tokenizer``, those alone (a checkpoint file has text encoders and no tokenizer); ``prompt``, embeddings that
``v2v-export prompt`` wrote, for prompt "embeddings". ``lora``: fused into UNet and text encoders in this
order."""

TEXT_ENCODERS: dict[str, tuple[str, ...]] = {
    "sd15": ("clip_l",),
    "sd21": ("open_clip_h",),
    "sd_turbo": ("open_clip_h",),
    "sdxl": ("clip_l", "open_clip_bigg"),
    "tiny_sd15": ("tiny_clip",),
    "tiny_sd21": ("tiny_open_clip",),
    "tiny_sdxl": ("tiny_clip", "tiny_open_clip_projected"),
}
"""UNet -> its text encoders, by the names of their architectures."""

AUTOENCODERS: dict[str, tuple[str, str]] = {
    "sd15": ("taesd", "kl_sd"),
    "sd21": ("taesd", "kl_sd"),
    "sd_turbo": ("taesd", "kl_sd"),
    "sdxl": ("taesdxl", "kl_sdxl"),
    "tiny_sd15": ("tiny_taesd", "tiny_kl"),
    "tiny_sd21": ("tiny_taesd", "tiny_kl"),
    "tiny_sdxl": ("tiny_taesd", "tiny_kl"),
}
"""UNet -> the autoencoders whose latents it knows: the TAESD, then the KL one that it was trained with. SD's
and SDXL's are equal in shape, and the other one's pictures have wrong colours."""

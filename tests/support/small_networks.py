"""UNets of two levels: every kind of block of the real ones, once; traced in seconds."""

from __future__ import annotations

from v2v_export.diffusion.configs import ARCHITECTURES, Architecture

SMALL_SD = Architecture(
    "small_sd",
    "unet",
    {
        **ARCHITECTURES["tiny_sd15"].config,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
    },
)
"""Every kind of block of SD1.5, once."""

SMALL_XL = Architecture(
    "small_xl",
    "unet",
    {
        **ARCHITECTURES["tiny_sdxl"].config,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (32, 64),
        "attention_head_dim": (2, 4),
        "transformer_layers_per_block": (1, 1),
        "layers_per_block": 1,
    },
)
"""The same of SDXL."""

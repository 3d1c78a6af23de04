"""StreamDiffusion around a UNet of two levels: every kind of layer once, traced in a second."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from support.micro_bundles import MicroBundles
from v2v_export.diffusion.configs import ARCHITECTURES, Architecture
from v2v_export.diffusion.networks import Network, Networks, open_networks
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.sources import ModuleSource
from v2v_export.system import FrameSize
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions
from v2v_export.systems.stream_diffusion.stream import StreamDiffusionModel

MICRO = Architecture(
    "micro",
    "unet",
    {
        **ARCHITECTURES["tiny_sd15"].config,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 8,
    },
)

SIZE = FrameSize(32, 48)
"""Multiples of 16, as a UNet of two levels needs."""


def micro_model(options: StreamDiffusionOptions, size: FrameSize = SIZE) -> StreamDiffusionModel:
    """A model with random weights; ``options`` name a tiny architecture, whose text encoders it keeps."""
    networks = open_networks(
        {"base": "random:0"}, unet=options.architecture, vae=options.autoencoder, prompt=options.prompt
    )
    source = ModuleSource(MICRO, MICRO.name, lambda keep: random_state(MICRO, 3, keep))
    unet = Network(source)
    return StreamDiffusionModel(
        Networks(unet, networks.vae, networks.encoders, networks.tokenizer), options, size
    )


def micro_options(**changes: Any) -> StreamDiffusionOptions:
    """Options of the tiny networks."""
    given: Mapping[str, Any] = {
        "architecture": "tiny_sd15",
        "vae": "tiny_taesd",
        "prompt": "embeddings",
        "text": "a lake",
        **changes,
    }
    return StreamDiffusionOptions(**given)


INDICES = (30, 35, 40, 45)

#: One step, and every form of guidance with as many rows as differ: 1, 2, 3 (+ 1), 4 (x 2).
CASES = {
    1: micro_options(t_index_list=INDICES[-1:]),
    2: micro_options(t_index_list=INDICES[-2:], cfg="self", guidance=1.4, delta=0.5, add_noise=False),
    3: micro_options(
        t_index_list=INDICES[-3:], cfg="initialize", guidance=1.4, prompt="tokens", negative_text="grey"
    ),
    4: micro_options(t_index_list=INDICES, cfg="full", guidance=1.4, negative_text="grey"),
}


class Bundles(MicroBundles[StreamDiffusionOptions]):
    def __init__(self, root: Path, kind: Literal["float16", "float32"] = "float32") -> None:
        varies = {"unet_step": lambda options: (options.cfg, options.velocity)}
        super().__init__(root, micro_model, varies, kind=kind)

"""STD around an SDXL of two levels: every kind of layer once, traced in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from support.micro_bundles import MicroBundles
from support.small_networks import SMALL_XL
from v2v_export.diffusion.networks import Network, Networks, open_networks
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.sources import ModuleSource
from v2v_export.system import FrameSize
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.stream import StdModel

SIZE = FrameSize(64, 64)


def micro_options(steps: int, **changes: Any) -> StdOptions:
    """Options of the narrow networks: that many steps, by default of as many frames in flight."""
    given: dict[str, Any] = {
        "mode": "batched",
        "strength": 0.75,
        "steps": steps,
        "guidance": 4.0,
        "prompt": "embeddings",
        "text": "a watercolour",
        "negative_text": "blurry",
        "architecture": "tiny_sdxl",
        "vae": "tiny_taesd",
        **changes,
    }
    return StdOptions(**given)


def micro_model(options: StdOptions) -> StdModel:
    """A model with random weights, whose text encoders are those of the tiny architecture."""
    networks = open_networks(
        {"base": "random:0"}, unet=options.architecture, vae=options.vae, prompt=options.prompt
    )
    unet = Network(ModuleSource(SMALL_XL, SMALL_XL.name, lambda keep: random_state(SMALL_XL, 3, keep)))
    return StdModel(Networks(unet, networks.vae, networks.encoders, networks.tokenizer), options, SIZE)


class Bundles(MicroBundles[StdOptions]):
    def __init__(self, root: Path, kind: Literal["float16", "float32"] = "float32") -> None:
        super().__init__(root, micro_model, kind=kind)

"""StreamDiffusion (Kodaira et al., 2023): image diffusion models on a stream, one UNet call per frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from v2v_export.diffusion.network_slots import SLOTS
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions

if TYPE_CHECKING:
    from v2v_export.system import FrameSize, Model
    from v2v_export.weights import Weights

_TEMPLATE = """\
# StreamDiffusion, tiny, with random weights: builds in half a minute and shows noise. `real.toml` is SD1.5.
name = "stream-diffusion-tiny"
system = "stream_diffusion"

[frame]                         # multiples of 64 (of 32 for SDXL)
height = 64
width = 64

[weights]
base = "random:0"               # diffusers folder, checkpoint file, "hub:OWNER/NAME" or "random:SEED"
# unet = "unet.safetensors"     # in place of the base's own; so are vae and text
# vae = "hub:madebyollin/taesd" # for SDXL taesdxl
# lora = ["lcm.safetensors", {file = "style.safetensors", scale = 0.8}]   # fused before export
# prompt = "cat.safetensors"    # embeddings written by `v2v-export prompt`, for prompt = "embeddings"

[options]
architecture = "tiny_sd15"      # "sd15", "sd21", "sd_turbo", "sdxl"; the tiny ones are for trials
vae = "tiny_taesd"              # "taesd", "kl_sd"; of SDXL "taesdxl", "kl_sdxl"; left out: the TAESD
t_index_list = [32, 45]         # one step each; index i is timestep 999 - 20 i. SD-Turbo in one step: [0]
sampler = "lcm"                 # what the weights were distilled for: "lcm", "tcd", "ddim"; SD-Turbo: "turbo"
cfg = "none"                    # "none", "self", "initialize", "full"
# guidance = 1.2                # above 1 with any cfg but "none"; a param, can change between frames
# delta = 0.5                   # share of the residual noise in "self" and "initialize"; a param
add_noise = true                # noise latents again between steps
seed = 2
prompt = "tokens"               # "tokens": text encoders in the bundle; "embeddings": none
text = "a painting of a lake"
# negative_text = "blurry"      # with cfg "initialize" or "full"
similarity = false              # skip frames that are like the last one

[targets]
profiles = ["cpu"]              # `v2v-export profiles` lists them; --gpu on the command line replaces this
"""


class StreamDiffusion:
    """The system (``v2v_export.system.System``)."""

    name = "stream_diffusion"
    title = "StreamDiffusion: batched denoising of SD1.5, SD2.1, SD-Turbo and SDXL on a stream"
    weights = SLOTS
    # attention: scores in half precision, which engines fuse, or in float32, for networks whose scores leave
    # half precision's range (SD2.1 at 768).
    lowerings: Mapping[str, tuple[str, ...]] = {"attention": ("fused", "wide")}
    options: type[Any] = StreamDiffusionOptions

    def template(self) -> str:
        return _TEMPLATE

    def load(self, weights: Weights, options: Any, size: FrameSize) -> Model:
        from v2v_export.systems.stream_diffusion.stream import StreamDiffusionModel

        return StreamDiffusionModel.load(weights, options, size)


SYSTEM = StreamDiffusion()

"""Live2Diff (Xing et al., 2024): Stable Diffusion 1.5 with temporal attention that looks back only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from v2v_export.diffusion.network_slots import ADAPTER_CONFIG
from v2v_export.systems.live2diff.checks import check_recipe
from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_export.weights import TOP, Form, Weights, WeightSlot

if TYPE_CHECKING:
    from v2v_export.system import FrameSize, Model

_LORA: tuple[Form, ...] = ("file", "folder", "hub")

_TEMPLATE = """\
# Live2Diff at a tiny size with random weights: shows noise. `real.toml` is Stable Diffusion 1.5 at 512 x 512.
name = "live2diff-tiny"
system = "live2diff"

[frame]                         # multiples of 64
height = 64
width = 64

[weights]                       # "random:SEED"; else a folder in diffusers' layout or "hub:OWNER/NAME"
base = "random:0"               # Stable Diffusion 1.5: unet, text_encoder, tokenizer
live2diff = "random:0"          # a file, live2diff.ckpt: temporal modules and depth encoder
depth = "random:0"              # "hub:Intel/dpt-hybrid-midas"
vae = "random:0"                # "hub:madebyollin/taesd"; left out: that of dreambooth, or of base
# dreambooth = "style.safetensors"           # overwrites spatial weights and text encoder
# lora = ["look.safetensors", {file = "line.safetensors", scale = 0.8}]   # fused before export
# lcm_lora = "hub:latent-consistency/lcm-lora-sdv1-5"   # fused last, always at scale 1
# prompt = "cat.safetensors"    # embeddings written by `v2v-export prompt`, for prompt = "embeddings"

[options]
architecture = "tiny_sd15"      # "sd15"; the tiny one is for trials
vae = "tiny_taesd"              # "taesd", "kl_sd"
rows = 2                        # T, denoising steps in flight, each with caches of its own
t_index_list = [30, 40]         # one step each; index i is timestep 999 - 20 i
# steps = 4                     # in place of t_index_list: the last int(steps * strength) of LCM's timesteps
# strength = 0.5
add_noise = true                # noise latents again between steps
seed = 2
noise_frames = 64               # frames after which the noise repeats
# resident = "phase"            # the step's engines after the warm-up's, not beside them: less memory
prompt = "tokens"               # "tokens": the text encoder is in the bundle; "embeddings": it is not
text = "a watercolour of a lake"
clip_skip = 1                   # layers of the text encoder left out at its end
similarity = false              # skip frames that are like the last one

[targets]
profiles = ["cpu"]              # `v2v-export profiles` lists them; --gpu on the command line replaces this
"""


class Live2Diff:
    """The system (``v2v_export.system.System``)."""

    name = "live2diff"
    title = "Live2Diff: streaming SD1.5 with cached temporal attention and depth"
    weights = (
        WeightSlot(
            "base",
            forms=("folder", "hub", "random"),
            parts=("unet", "vae", "scheduler", "text_encoder", "tokenizer"),
        ),
        WeightSlot("live2diff", forms=("file", "random")),
        WeightSlot("depth", forms=("folder", "hub", "random")),
        WeightSlot("vae", required=False, forms=("file", "folder", "hub", "random"), parts=("vae",)),
        WeightSlot(
            "dreambooth",
            required=False,
            forms=("file", "folder", "hub"),
            parts=("unet", "vae", "scheduler", "text_encoder"),
        ),
        WeightSlot("lora", required=False, many=True, forms=_LORA, parts=TOP, beside=(ADAPTER_CONFIG,)),
        WeightSlot("lcm_lora", required=False, forms=_LORA, parts=TOP, beside=(ADAPTER_CONFIG,)),
        WeightSlot("prompt", required=False, forms=("file",)),
    )
    # attention: whether scores, of spatial attention, of the warm-up and of the depth detector, are computed
    # in half precision, where engines fuse them, or wide.
    # window: the form of the temporal attention.
    lowerings: Mapping[str, tuple[str, ...]] = {
        "attention": ("fused", "wide"),
        "window": ("unrolled", "stacked", "matmul"),
    }
    options: type[Any] = Live2DiffOptions

    def template(self) -> str:
        return _TEMPLATE

    def load(self, weights: Weights, options: Any, size: FrameSize) -> Model:
        check_recipe(weights, options, size)  # before the seconds that importing torch takes
        from v2v_export.systems.live2diff.stream import Live2DiffModel

        return Live2DiffModel.load(weights, options, size)


SYSTEM = Live2Diff()

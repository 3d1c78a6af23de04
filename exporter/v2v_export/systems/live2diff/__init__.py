"""Live2Diff (Xing et al., 2024): Stable Diffusion 1.5 with temporal attention that looks back only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_export.weights import Weights, WeightSlot

if TYPE_CHECKING:
    from v2v_export.system import FrameSize, Model

_TEMPLATE = """\
# Live2Diff: build it with `v2v-export build`.
name = "live2diff"
system = "live2diff"

[frame]                    # multiples of 64
height = 512
width = 512

[weights]                  # a file, a folder in diffusers' layout, "hub:OWNER/NAME" or "random:SEED"
base = "random:0"          # Stable Diffusion 1.5: unet, text_encoder and tokenizer
live2diff = "random:0"     # live2diff.ckpt: temporal modules and depth encoder
depth = "random:0"         # hub:Intel/dpt-hybrid-midas
vae = "random:0"           # hub:madebyollin/taesd; left out: that of dreambooth, or of base
# dreambooth = "style.safetensors"   # overwrites spatial weights and text encoder
# lora = [{file = "look.safetensors", scale = 0.8}]
# lcm_lora = "lcm-lora-sdv1-5.safetensors"   # always at scale 1

[options]
rows = 2                   # T, denoising steps in flight; each holds 1450 MiB of caches at 512 x 512
t_index_list = [30, 40]    # indices into the LCM timesteps; or: strength, with steps
# steps = 50
vae = "taesd"              # "taesd" or "kl_sd"
text = "a watercolour painting"

[verify]
frames = 0                 # of the self-test; a stream of this size is played with `v2v-export verify --full`

[targets]
profiles = ["cpu"]         # `v2v-export profiles` lists them; --gpu on the command line replaces this
"""


class Live2Diff:
    """The system (``v2v_export.system.System``)."""

    name = "live2diff"
    title = "Live2Diff: streaming SD1.5 with cached temporal attention and depth"
    weights = (
        WeightSlot(
            "base", forms=("folder", "hub", "random"), parts=("unet", "vae", "text_encoder", "tokenizer")
        ),
        WeightSlot("live2diff", forms=("file", "random")),
        WeightSlot("depth", forms=("folder", "hub", "random")),
        WeightSlot("vae", required=False, forms=("file", "folder", "hub", "random"), parts=("vae",)),
        WeightSlot(
            "dreambooth",
            required=False,
            forms=("file", "folder", "hub"),
            parts=("unet", "vae", "text_encoder"),
        ),
        WeightSlot("lora", required=False, many=True, forms=("file",)),
        WeightSlot("lcm_lora", required=False, forms=("file",)),
        WeightSlot("prompt", required=False, forms=("file",)),
    )
    # attention: whether the spatial scores are computed in half precision, where engines fuse them, or wide.
    # window: the form of the temporal attention.
    lowerings: Mapping[str, tuple[str, ...]] = {
        "attention": ("fused", "wide"),
        "window": ("unrolled", "stacked", "matmul"),
    }
    options: type[Any] = Live2DiffOptions

    def template(self) -> str:
        return _TEMPLATE

    def load(self, weights: Weights, options: Any, size: FrameSize) -> Model:
        from v2v_export.systems.live2diff.stream import Live2DiffModel

        return Live2DiffModel.load(weights, options, size)


SYSTEM = Live2Diff()

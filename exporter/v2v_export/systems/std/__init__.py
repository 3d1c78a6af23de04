"""Single Trajectory Distillation (2024) on SDXL: few-step students that restyle frames from partial noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from v2v_export.diffusion.network_slots import SLOTS
from v2v_export.systems.std.options import StdOptions
from v2v_export.weights import Weights, WeightSlot

if TYPE_CHECKING:
    from v2v_export.system import FrameSize, Model

_TEMPLATE = """\
# An STD student on a narrow SDXL with random weights: builds in seconds, shows noise. `real.toml` is SDXL.
name = "std-tiny"
system = "std"

[frame]                    # multiples of 64
height = 64
width = 64

[weights]
base = "random:0"          # an SDXL pipeline: a folder, "hub:OWNER/NAME", a checkpoint file, or "random:SEED"
lora = ["random:1"]        # the student's LoRA, and more of them: {file = "style.safetensors", scale = 0.8}
# unet = "unet.safetensors"        # in place of the base's own; so are vae and text
# vae = "hub:madebyollin/taesdxl"
# tokenizer = "hub:OWNER/NAME"     # a pipeline's, where base is a single file: that has none
# prompt = "cat.safetensors"       # embeddings written by `v2v-export prompt`, for prompt = "embeddings"

[options]
architecture = "tiny_sdxl" # "sdxl"; the tiny one is for trials
vae = "tiny_taesd"         # "taesdxl", "kl_sdxl"
mode = "loop"              # "loop": no delay; "batched": one run of the UNet per frame, steps - 1 frames late
strength = 0.75            # what the LoRA was trained for: 0.65, 0.75, 0.85 or 0.95
steps = 4                  # 8, 6 or 4
# timesteps = [779, 579, 379, 179]   # in place of strength and steps: remove both
guidance = 6.0             # a param: it can change while the stream runs
seed = 0                   # of the start noise, one for all frames
prompt = "tokens"          # "tokens": text encoders in the bundle; "embeddings": none
text = "a watercolour painting"
negative_text = "blurry"

[targets]
profiles = ["cpu"]         # `v2v-export profiles` lists them; --gpu on the command line replaces this
"""


class Std:
    """The system (``v2v_export.system.System``)."""

    name = "std"
    title = "STD: single-trajectory-distilled SDXL students with true guidance"
    weights: tuple[WeightSlot, ...] = SLOTS
    # attention: scores in half precision's own type, which engines fuse, or in float32 operator by operator.
    lowerings: Mapping[str, tuple[str, ...]] = {"attention": ("fused", "wide")}
    options: type[Any] = StdOptions

    def template(self) -> str:
        return _TEMPLATE

    def load(self, weights: Weights, options: Any, size: FrameSize) -> Model:
        from v2v_export.systems.std.stream import StdModel

        return StdModel.load(weights, options, size)


SYSTEM = Std()

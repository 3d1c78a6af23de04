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
# A Single Trajectory Distillation student on SDXL; build it with `v2v-export build`.
name = "std"
system = "std"

[frame]                    # multiples of 64
height = 512
width = 512

[weights]
base = "random:0"          # an SDXL pipeline: a folder, "hub:OWNER/NAME", one checkpoint file, or random
# vae = "hub:madebyollin/taesdxl"
# lora = ["std_075.safetensors"]   # the student's LoRA, and more: {file = "style.safetensors", scale = 0.8}
# text = "hub:OWNER/NAME"  # text encoders and tokenizers, where base is a single file

[options]
mode = "loop"              # "loop": no delay; "batched": one run of the UNet per frame, N - 1 frames late
strength = 0.75            # what the LoRA was trained for: 0.65, 0.75, 0.85 or 0.95
steps = 8                  # 8, 6 or 4
guidance = 6.0             # a param: it can change while the stream runs
prompt = "tokens"          # or "embeddings": no text encoders in the bundle
text = "a watercolour painting"
negative_text = "blurry"
vae = "taesdxl"            # or "kl_sdxl"
seed = 0                   # of the start noise, one for all frames
# timesteps = [779, 659, 559, 459, 339, 239, 139, 39]   # in place of strength and steps
# architecture = "tiny_sdxl"

[verify]
frames = 0                 # networks of this size are verified graph by graph
budget_seconds = 600

[targets]
profiles = ["rtx4090"]     # `v2v-export profiles` lists them; --gpu on the command line replaces this
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

"""Shortcut-V2V (Chung et al., 2023) on the Unsup RecycleGAN teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from v2v_export.systems.shortcut_v2v.options import ShortcutOptions
from v2v_export.weights import Weights, WeightSlot

if TYPE_CHECKING:
    from v2v_export.system import FrameSize, Model

_TEMPLATE = """\
# Shortcut-V2V on the Unsup RecycleGAN teacher; build it with `v2v-export build`.
name = "shortcut-v2v"
system = "shortcut_v2v"

[frame]                    # multiples of 4 (of 8 at level "high")
height = 256
width = 512

[weights]                  # safetensors under the published checkpoints' own keys, or "random:SEED"
teacher = "random:0"       # ResnetGenerator: model.1.weight ...
shortcut = "random:0"      # ShortcutBlock: cr1.0.weight ...

[options]
level = "medium"           # "low", "medium" or "high": where the shortcut leaves and joins the teacher
interval = 3               # alpha: frames from one refresh of the reference to the next
schedule = "shortcut"      # what a refreshing frame shows: "shortcut" (as published) or "teacher"
# ngf, n_blocks, hidden    # widths for random weights; files bring their own

# [lowering.onnxruntime]   # forms of operations in place of the profile's choice, by backend
# deform = "gridsample"    # "gridsample", "gather", and with ONNX Runtime "deformconv" and "scan"

[targets]
profiles = ["cpu"]         # `v2v-export profiles` lists them; --gpu on the command line replaces this
"""


class ShortcutV2V:
    """The system (``v2v_export.system.System``)."""

    name = "shortcut_v2v"
    title = "Shortcut-V2V: a shortcut block on the Unsup RecycleGAN teacher"
    weights = (WeightSlot("teacher"), WeightSlot("shortcut"))
    # deform: how pixels are sampled at offsets (deformconv and scan are ONNX Runtime's alone). hetconv: as
    # one dense 3x3, or grouped plus 1x1. first_conv: as it is, or of centred pictures, which CPUs normalise
    # more exactly. last_conv: as it is, or in 2x2 blocks of pixels.
    lowerings: Mapping[str, tuple[str, ...]] = {
        "deform": ("gridsample", "gather", "deformconv", "scan"),
        "hetconv": ("dense", "split"),
        "first_conv": ("direct", "centred"),
        "last_conv": ("direct", "blocked"),
    }
    options: type[Any] = ShortcutOptions

    def template(self) -> str:
        return _TEMPLATE

    def load(self, weights: Weights, options: Any, size: FrameSize) -> Model:
        from v2v_export.systems.shortcut_v2v.stream import ShortcutModel

        return ShortcutModel.load(weights, options, size)


SYSTEM = ShortcutV2V()

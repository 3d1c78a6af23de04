"""What TensorRT has to know of ``v2v::AdaBD``; ``trt_plugin`` makes the plugin of it."""

from __future__ import annotations

from v2v_plugins.trt_plugin import Plugin

PLUGIN = Plugin(
    # Positions may be float32 beside float16 features.
    inputs={"T": "same", "F_star": "same", "offset": "wide", "mask": "same", "weight": "same"},
    # [N, o, H, W]: T's shape with the kernel's number of outputs.
    output=(("T", 0), ("weight", 0), ("T", 2), ("T", 3)),
)

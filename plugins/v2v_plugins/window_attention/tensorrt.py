"""What TensorRT has to know of ``v2v::WindowAttention``; ``trt_plugin`` makes the plugin of it."""

from __future__ import annotations

from v2v_plugins.trt_plugin import Plugin

PLUGIN = Plugin(
    inputs={
        "query": "same",
        "own": "same",
        "sinks": "same",
        "ring": "same",
        "moves": "same",
        "opened": "bool",
    },
    # [T, P, heads, d], the query's shape.
    output=(("query", 0), ("query", 1), ("query", 2), ("query", 3)),
)

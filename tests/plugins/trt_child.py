"""Builds ONNX files with TensorRT in a process of its own: ``trt_child.py body|plugin MODEL.onnx...``.

Prints one JSON list: per model the engine's bytes, its layers by type, and its output's shape. ``plugin``
registers every op's creator and sets ENABLE_PLUGIN_OVERRIDE.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import v2v_plugins
from v2v_plugins import trt_loader

CAPABILITY = "SM89"


def build(trt: Any, path: Path, plugin: bool) -> dict[str, Any]:
    lines: list[str] = []

    class Collect(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            lines.append(message)

    logger = Collect()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    onnx_parser = trt.OnnxParser(network, logger)
    if plugin:
        onnx_parser.set_flag(trt.OnnxParserFlag.ENABLE_PLUGIN_OVERRIDE)
    if not onnx_parser.parse(path.read_bytes()):
        return {"error": [onnx_parser.get_error(i).desc() for i in range(onnx_parser.num_errors)]}
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, CAPABILITY), 0)
    engine = builder.build_serialized_network(network, config)
    layers = re.findall(
        r"^Name: [^\n]*?LayerType: (\w+).*?Metadata: ([^\n]*)", "\n".join(lines), re.MULTILINE
    )
    return {
        "bytes": None if engine is None else engine.nbytes,
        "layers": [kind for kind, _ in layers if kind not in ("signal", "wait")],
        "nodes": [node for _, node in layers],
        "output": list(network.get_output(0).shape),
        "precision": str(network.get_output(0).dtype).split(".")[-1],
    }


def main() -> None:
    mode, *paths = sys.argv[1:]
    trt = trt_loader.load("rtx")
    creators = []
    if mode == "plugin":
        trt_loader.require_plugins(trt)
        for op in v2v_plugins.OPS.values():
            creators.append(op.tensorrt_creator(trt))  # kept: the registry holds no reference of its own
            assert trt.get_plugin_registry().register_creator(creators[-1], "")
    results = []
    for path in paths:
        results.append(build(trt, Path(path), plugin=mode == "plugin"))
    assert "torch" not in sys.modules
    print(json.dumps(results))


if __name__ == "__main__":
    main()

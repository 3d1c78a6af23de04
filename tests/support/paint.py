"""A real bundle that paints with four params: a number, three whole numbers, a truth and a matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from support.bundles import make_bundle, make_manifest, make_target
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import (
    BlobRef,
    Call,
    Emit,
    FrameSpec,
    Graph,
    Param,
    Phase,
    Program,
    TensorSpec,
)

HEIGHT, WIDTH = 32, 48
FILE = "blobs/params.safetensors"
DEFAULTS = {
    "gain": np.array([1], np.float32),
    "shift": np.array([0, 0, 0], np.int64),
    "invert": np.array([False]),
    "mix": np.eye(3, dtype=np.float32),
}


def graph() -> bytes:
    """``out = (255 - y if invert else y)`` with ``y = clip((gain frame + shift) mix, 0, 255)``."""
    kinds = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "b": TensorProto.BOOL}
    picture = (1, HEIGHT, WIDTH, 3)
    nodes = [
        helper.make_node("Cast", ["frame"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wide", "gain"], ["louder"]),
        helper.make_node("Cast", ["shift"], ["by"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["louder", "by"], ["moved"]),
        helper.make_node("MatMul", ["moved", "mix"], ["mixed"]),
        helper.make_node("Clip", ["mixed", "black", "white"], ["y"]),
        helper.make_node("Sub", ["white", "y"], ["turned"]),
        helper.make_node("Where", ["invert", "turned", "y"], ["chosen"]),
        helper.make_node("Cast", ["chosen"], ["out"], to=TensorProto.UINT8),
    ]
    inputs = [helper.make_tensor_value_info("frame", TensorProto.UINT8, picture)] + [
        helper.make_tensor_value_info(name, kinds[value.dtype.kind], value.shape)
        for name, value in DEFAULTS.items()
    ]
    limits = {"black": 0, "white": 255}
    constants = [
        onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in limits.items()
    ]
    result = [helper.make_tensor_value_info("out", TensorProto.UINT8, picture)]
    made = helper.make_graph(nodes, "paint", inputs, result, constants)
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(made, opset_imports=opset, ir_version=10).SerializeToString())


def write_paint(root: Path) -> Bundle:
    """The bundle, written and opened."""
    size, picture = FrameSpec(HEIGHT, WIDTH), TensorSpec("uint8", (1, HEIGHT, WIDTH, 3))
    specs = {name: TensorSpec(value.dtype.name, value.shape) for name, value in DEFAULTS.items()}  # type: ignore[arg-type]  # NumPy's names
    call = Call("paint", "paint", {"frame": "video", **{name: name for name in specs}}, {"out": "shown"})
    program = Program(
        inputs={"video": size},
        outputs={"video": size},
        phases=(Phase("play", "forever", (call,), emit=Emit("shown")),),
        max_frames=1,
        params={name: Param(spec.dtype, spec.shape, BlobRef(FILE, name)) for name, spec in specs.items()},
    )
    manifest = make_manifest(program, {"paint": Graph({"frame": picture, **specs}, {"out": picture})})
    return make_bundle(root, manifest, {"paint": graph()}, {FILE: DEFAULTS}, [make_target()])

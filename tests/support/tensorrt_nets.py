"""Small networks for TensorRT, and one way to build them: in a child process, as every engine is built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from support.onnx_nets import node
from v2v_export.profiles import load_profile
from v2v_export.targets.base import EngineRequest, EngineResult
from v2v_export.targets.spawn import build_engine
from v2v_export.targets.tensorrt import BUILDER

HALF, FLOAT, BYTE = TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.UINT8


def save(
    path: Path,
    nodes: list[NodeProto],
    inputs: list[ValueInfoProto],
    outputs: list[ValueInfoProto],
    weights: Mapping[str, NDArray[Any]] | None = None,
    opset: int = 18,
) -> Path:
    """Saves a model, weights in a file beside it."""
    constants = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "net", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("v2v", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(model, str(path), save_as_external_data=True, location=path.name + ".data", size_threshold=64)
    return path


def port(name: str, dtype: int, *shape: int | str) -> ValueInfoProto:
    """A graph input or output."""
    return helper.make_tensor_value_info(name, dtype, shape)


def warping_net(path: Path, height: int = 32, width: int = 48, channels: int = 8) -> Path:
    """uint8 HWC picture and float32 sampling grid -> uint8 HWC picture, float16 inside.

    Two convolutions, an InstanceNormalization in float32, a GridSample in float32.
    """
    rng = np.random.default_rng(7)
    weights: dict[str, NDArray[Any]] = {
        "w1": rng.normal(0, 0.3, (channels, 3, 3, 3)).astype(np.float16),
        "w2": rng.normal(0, 0.3, (3, channels, 3, 3)).astype(np.float16),
        "one": np.ones(channels, np.float32),
        "zero": np.zeros(channels, np.float32),
        "scale": np.array(1 / 127.5, np.float16),
        "unit": np.array(1, np.float16),
        "levels": np.array(127.5, np.float16),
    }
    nodes = [
        node("Cast", "frame", "f0", to=HALF),
        node("Transpose", "f0", "f1", perm=[0, 3, 1, 2]),
        node("Mul", "f1 scale", "f2"),
        node("Sub", "f2 unit", "x"),
        node("Conv", "x w1", "a", pads=[1, 1, 1, 1]),
        node("Cast", "a", "a32", to=FLOAT),
        node("InstanceNormalization", "a32 one zero", "n32"),
        node("GridSample", "n32 grid", "g32", mode="bilinear", padding_mode="zeros", align_corners=0),
        node("Cast", "g32", "g", to=HALF),
        node("Relu", "g", "r"),
        node("Conv", "r w2", "c", pads=[1, 1, 1, 1]),
        node("Tanh", "c", "t"),
        node("Add", "t unit", "t1"),
        node("Mul", "t1 levels", "t2"),
        node("Transpose", "t2", "t3", perm=[0, 2, 3, 1]),
        node("Cast", "t3", "out", to=BYTE),
    ]
    picture = (1, height, width, 3)
    return save(
        path,
        nodes,
        [port("frame", BYTE, *picture), port("grid", FLOAT, 1, height, width, 2)],
        [port("out", BYTE, *picture)],
        weights,
    )


def attention_net(path: Path, dtype: int, head_size: int) -> Path:
    """One Attention of 4 heads over 64 positions."""
    shape = (1, 4, 64, head_size)
    ports = [port(name, dtype, *shape) for name in "qkv"]
    return save(path, [node("Attention", "q k v", "y")], ports, [port("y", dtype, *shape)], opset=23)


def rows_net(path: Path, width: int = 64) -> Path:
    """Products of an open number of rows with one matrix."""
    rng = np.random.default_rng(3)
    weights = {name: rng.normal(0, 0.1, (width, width)).astype(np.float16) for name in ("w1", "w2")}
    nodes = [
        node("MatMul", "x w1", "a"),
        node("Softmax", "a", "b", axis=1),
        node("MatMul", "b w2", "c"),
        node("Tanh", "c", "y"),
    ]
    return save(path, nodes, [port("x", HALF, "rows", width)], [port("y", HALF, "rows", width)], weights)


def request(
    model: Path,
    workdir: Path,
    profile: str = "rtx4090",
    buckets: Mapping[str, tuple[int, ...]] | None = None,
    **options: Any,
) -> EngineRequest:
    """What the build asks for; ``options`` override the builder's."""
    resolved = load_profile(profile).to_dict()
    workdir.mkdir(parents=True, exist_ok=True)
    return EngineRequest(
        backend="tensorrt",
        graph=model.stem,
        model=str(model),
        workdir=str(workdir),
        float="float16",
        profile=resolved,
        options={**BUILDER.options(resolved), **options},
        buckets=buckets or {},
    )


def build(wanted: EngineRequest) -> EngineResult:
    """Builds in a child process."""
    environment = {**BUILDER.environment(), "V2V_TRUST": str(Path(wanted.workdir).parent / "trust")}
    return build_engine(wanted, lambda phase, done, total: None, environment)

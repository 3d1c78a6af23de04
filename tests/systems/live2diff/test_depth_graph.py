"""The depth graph as ONNX Runtime plays it and TensorRT-RTX builds it; pictures that have no depth at all."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from support.micro_live2diff import micro_model, micro_options
from support.tensorrt_nets import build, request
from torch.nn import functional
from transformers import DPTForDepthEstimation
from v2v_export.export.pipeline import export_graph
from v2v_export.system import GraphOptions, GraphSpec
from v2v_export.systems.live2diff.depth import DepthPicture
from v2v_export.systems.live2diff.depth_detector import DepthDetector
from v2v_export.systems.live2diff.ends import Depth
from v2v_export.targets.tensorrt import BUILDER
from v2v_runtime.manifest.model import TensorSpec

HEIGHT, WIDTH = 64, 128
Kind = Literal["float16", "float32"]


def depth_spec(
    model: DPTForDepthEstimation, dtype: torch.dtype, frames: int = 1, *, wide: bool = False
) -> GraphSpec:
    """The stream's depth graph on a narrow detector."""

    def module() -> Depth:
        return Depth(DepthPicture(DepthDetector(model, dtype, wide=wide), dtype))

    return GraphSpec(
        "depth",
        module,
        {"frame": TensorSpec("uint8", (frames, HEIGHT, WIDTH, 3))},
        {"depth": TensorSpec("float", (frames, 3, HEIGHT, WIDTH))},
    )


def exported(
    model: DPTForDepthEstimation, folder: Path, kind: Kind, frames: int = 1, *, wide: bool = False
) -> Path:
    dtype = torch.float16 if kind == "float16" else torch.float32
    return export_graph(depth_spec(model, dtype, frames, wide=wide), kind, {}, folder)


@pytest.fixture(scope="module")
def graphs(model: DPTForDepthEstimation, tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """The graph of one frame, in either precision."""
    kinds: tuple[Kind, ...] = ("float32", "float16")
    return {kind: exported(model, tmp_path_factory.mktemp(kind), kind) for kind in kinds}


def play(path: Path, frame: NDArray[np.uint8]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (depth,) = session.run(None, {"frame": frame})
    return np.asarray(depth)


def literal(model: DPTForDepthEstimation, frame: NDArray[np.uint8]) -> NDArray[Any]:
    """Section 2 of the method, on transformers' own detector."""
    pictures = torch.from_numpy(frame).permute(0, 3, 1, 2).double() / 127.5 - 1
    square = functional.interpolate(pictures, (64, 64), mode="bilinear")
    with torch.no_grad():
        depth = model.double()(square).predicted_depth
    model.float()
    depth = (depth - depth.min()) / (depth.max() - depth.min()) * 2 - 1
    three = depth[:, None].repeat(1, 3, 1, 1)
    return functional.interpolate(three, (HEIGHT, WIDTH), mode="bilinear").numpy()


@pytest.mark.parametrize("frames", [1, 2])
def test_plays_as_the_method_says(
    model: DPTForDepthEstimation, graphs: dict[Kind, Path], tmp_path: Path, frames: int
) -> None:
    rng = np.random.default_rng(8)
    frame = rng.integers(0, 256, (frames, HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = graphs["float32"] if frames == 1 else exported(model, tmp_path, "float32", frames)
    seen = play(path, frame)
    expected = literal(model, frame)
    assert seen.shape == expected.shape
    assert expected.std() > 0.1
    assert np.abs(seen - expected).max() < 1e-4


def test_half_precision_keeps_its_islands(model: DPTForDepthEstimation, graphs: dict[Kind, Path]) -> None:
    rng = np.random.default_rng(9)
    frame = rng.integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = graphs["float16"]
    seen = play(path, frame)
    assert seen.dtype == np.float16
    # Of a range of 2: what half precision keeps of ten layers.
    assert np.abs(seen - literal(model, frame)).max() < 2e-2
    weights = onnx.load_model(path, load_external_data=False).graph.initializer
    kinds = {rank: {t.data_type for t in weights if len(t.dims) == rank} for rank in (2, 4)}
    # Convolutions are float32, the products of the transformer are not.
    assert kinds[4] == {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.FLOAT16 in kinds[2]


def score_types(path: Path) -> list[int]:
    """The element type of what goes into the product in front of every softmax."""
    model = onnx.shape_inference.infer_shapes(onnx.load_model(path, load_external_data=False))
    types = {value.name: value.type.tensor_type.elem_type for value in model.graph.value_info}
    makers = {name: node for node in model.graph.node for name in node.output}
    found = []
    for node in model.graph.node:
        if node.op_type == "Softmax":
            assert types[node.input[0]] == onnx.TensorProto.FLOAT
            maker = makers[node.input[0]]
            while maker.op_type == "Cast":
                maker = makers[maker.input[0]]
            assert maker.op_type == "MatMul"
            found.append(types[maker.input[0]])
    return found


@pytest.mark.parametrize("wide", [False, True])
def test_scores_are_float32_where_operators_run_one_by_one(
    model: DPTForDepthEstimation, graphs: dict[Kind, Path], tmp_path: Path, wide: bool
) -> None:
    """All layers of the graph for the CUDA provider; for engines, which fuse them, none but the softmax."""
    path = exported(model, tmp_path, "float16", wide=True) if wide else graphs["float16"]
    kind = onnx.TensorProto.FLOAT if wide else onnx.TensorProto.FLOAT16
    assert score_types(path) == [kind] * model.config.num_hidden_layers
    frame = np.random.default_rng(9).integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8)
    assert np.abs(play(path, frame) - literal(model, frame)).max() < 2e-2


def test_the_profile_for_operators_one_by_one_asks_for_it() -> None:
    """The lowering of every other attention is the detector's too."""
    options = micro_options(2)
    for form, wide in (("wide", True), ("fused", False)):
        specs = micro_model(options).graphs(GraphOptions("float16", {"attention": form}))
        made = [spec.make() for spec in specs if spec.name in ("depth", "warmup_depth")]
        assert [module.depth.detector.wide for module in made if isinstance(module, Depth)] == [wide] * 2


def test_graph_computes_nothing_that_is_constant(graphs: dict[Kind, Path]) -> None:
    graph = onnx.load_model(graphs["float32"], load_external_data=False).graph
    made = {name for node in graph.node for name in node.output}
    of_frame = {port.name for port in graph.input}
    for node in graph.node:
        if any(name in of_frame for name in node.input):
            of_frame |= set(node.output)
    # Standardised weights and resized positions would be nodes that no frame reaches.
    assert made <= of_frame, sorted(made - of_frame)[:5]


@pytest.mark.parametrize("kind", ["float16", "float32"])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_frames_of_one_level_are_finite(graphs: dict[Kind, Path], kind: Kind, level: int) -> None:
    frame = np.full((1, HEIGHT, WIDTH, 3), level, np.uint8)
    seen = play(graphs[kind], frame)
    assert np.isfinite(seen).all()
    assert seen.min() >= -1
    assert seen.max() <= 1


def test_detector_that_sees_no_depth_is_finite(model: DPTForDepthEstimation, tmp_path: Path) -> None:
    blind = copy.deepcopy(model)
    with torch.no_grad():
        blind.head.head[4].bias.fill_(-1e4)  # below the last ReLU's knee everywhere: depth 0
    rng = np.random.default_rng(10)
    frame = rng.integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8)
    seen = play(exported(blind, tmp_path, "float16"), frame)
    assert np.array_equal(seen, np.full_like(seen, -1))


@pytest.mark.skipif(not BUILDER.available().ok, reason=BUILDER.available().reason)
def test_builds_for_a_gpu_with_its_attentions_fused(
    model: DPTForDepthEstimation, graphs: dict[Kind, Path], tmp_path: Path
) -> None:
    counters = build(request(graphs["float16"], tmp_path / "work")).counters
    print(counters)
    fused = sum(count for tactic, count in counters["tactics"].items() if "mha" in tactic)
    assert fused == model.config.num_hidden_layers

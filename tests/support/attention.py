"""A stream of two self-attentions and its engine for an RTX 4090: both fused, or one split, which is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto
from support.bundles import make_bundle, make_manifest, make_target
from support.onnx_nets import node
from support.tensorrt_nets import HALF, build, port, request, save
from v2v_runtime.manifest.model import Call, Emit, FrameSpec, Graph, Phase, Program, TensorSpec

HEADS, POSITIONS, WIDTH = 4, 64, 64
FRAME = TensorSpec("uint8", (1, POSITIONS, HEADS * WIDTH, 3))


def attention_graph(path: Path, *, split: bool) -> Path:
    """uint8 picture -> uint8 picture through two self-attentions of 4 heads over the picture's rows.

    Split: the second one's keys are taken in two halves, whose scores are joined before the softmax. The
    numbers are the same; the joined scores have to be written to memory, and no fused kernel does that.
    """
    weights: dict[str, Any] = {
        "scale": np.array(1 / 255, np.float16),
        "levels": np.array(255, np.float16),
        "split": np.array([1, POSITIONS, HEADS, WIDTH], np.int64),
        "whole": np.array([1, POSITIONS, HEADS * WIDTH, 1], np.int64),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "middle": np.array([POSITIONS // 2], np.int64),
        "end": np.array([POSITIONS], np.int64),
        "last": np.array([3], np.int64),
        "thrice": np.array([1, 1, 1, 3], np.int64),
    }
    nodes = [
        node("Cast", "frame", "f16", to=HALF),
        node("Mul", "f16 scale", "x3"),
        node("Slice", "x3 first second last", "x"),
        node("Reshape", "x split", "heads"),
        node("Transpose", "heads", "q0", perm=[0, 2, 1, 3]),
        *_attention("q0", "q1", split=False),
        *_attention("q1", "q2", split=split),
        node("Transpose", "q2", "back", perm=[0, 2, 1, 3]),
        node("Reshape", "back whole", "y1"),
        node("Tile", "y1 thrice", "y3"),
        node("Mul", "y3 levels", "y"),
        node("Cast", "y", "out", to=TensorProto.UINT8),
    ]
    picture = [port(name, TensorProto.UINT8, *FRAME.shape) for name in ("frame", "out")]
    return save(path, nodes, picture[:1], picture[1:], weights)


def _attention(x: str, y: str, *, split: bool) -> list[NodeProto]:
    """Of [1, heads, positions, width] with itself; no projections, which fusing does not need."""
    score = [node("MatMul", f"{x} {y}_k", f"{y}_s")]
    if split:
        score = [
            node("Slice", f"{y}_k first middle last", f"{y}_ka"),
            node("Slice", f"{y}_k middle end last", f"{y}_kb"),
            node("MatMul", f"{x} {y}_ka", f"{y}_sa"),
            node("MatMul", f"{x} {y}_kb", f"{y}_sb"),
            node("Concat", f"{y}_sa {y}_sb", f"{y}_s", axis=-1),
        ]
    return [
        node("Transpose", x, f"{y}_k", perm=[0, 1, 3, 2]),
        *score,
        node("Softmax", f"{y}_s", f"{y}_p", axis=-1),
        node("MatMul", f"{y}_p {x}", y),
    ]


def built_bundle(root: Path, workdir: Path, *, split: bool) -> Path:
    """A bundle of that graph with its engine for an RTX 4090, built here and not run."""
    workdir.mkdir()
    model = attention_graph(workdir / "look.onnx", split=split)
    result = build(request(model, workdir / "engine"))
    size = FrameSpec(*FRAME.shape[1:3])
    call = Call("look", "look", {"frame": "video"}, {"out": "shown"})
    program = Program(
        inputs={"video": size},
        outputs={"video": size},
        phases=(Phase("play", "forever", (call,), emit=Emit("shown")),),
        max_frames=1,
    )
    target = make_target(
        profile="rtx4090",
        backend="tensorrt",
        status="built",
        options={},
        engines={"look": "look.engine"},
        counters={"look": result.counters},
    )
    manifest = make_manifest(program, {"look": Graph({"frame": FRAME}, {"out": FRAME})}, float_type="float16")
    make_bundle(
        root,
        manifest,
        {"look": model.read_bytes(), "graphs/look.onnx.data": Path(f"{model}.data").read_bytes()},
        targets=[target],
        target_files={"look.engine": (workdir / "engine" / str(result.engine)).read_bytes()},
    )
    return root

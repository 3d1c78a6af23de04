"""A real bundle of one small graph: the stream shows negatives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support.bundles import make_bundle, make_manifest, make_target
from v2v_runtime.manifest.model import (
    BlobRef,
    Call,
    Emit,
    FrameSpec,
    Graph,
    Phase,
    Program,
    SelfTest,
    TensorSpec,
)

TEST = "blobs/selftest.safetensors"


def negative(height: int, width: int, *, black: bool = False) -> bytes:
    """uint8 [1, H, W, 3] -> 255 minus each value; 0 everywhere if ``black``."""
    shape = (1, height, width, 3)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["frame"], ["wide"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["wide" if black else "white", "wide"], ["turned"]),
            helper.make_node("Cast", ["turned"], ["out"], to=TensorProto.UINT8),
        ],
        "negative",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("out", TensorProto.UINT8, shape)],
        [onnx.numpy_helper.from_array(np.array(255, np.float32), "white")],
    )
    opset = [helper.make_opsetid("", 18)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString())


def write_negative(
    root: Path,
    pictures: NDArray[np.uint8],
    wrong: int = 0,
    *,
    black: bool = False,
    selftest: bool = True,
    tolerance: int | Mapping[str, int] = 0,
    float_type: Literal["float16", "float32"] = "float32",
) -> Path:
    """The bundle, for the size of ``pictures`` [N, H, W, 3].

    Args:
        wrong: its self-test expects the pictures' negatives, so many levels off.
        black: it shows black only, and its self-test expects that.
        tolerance: of its self-test; a number is ``float_type``'s.
        float_type: of its one variant; no number in its graph is of that type.
    """
    _, height, width, _ = pictures.shape
    frame, size = TensorSpec("uint8", (1, height, width, 3)), FrameSpec(height, width)
    call = Call("turn", "negative", {"frame": "video"}, {"out": "shown"})
    program = Program(
        inputs={"video": size},
        outputs={"video": size},
        phases=(Phase("play", "forever", (call,), emit=Emit("shown")),),
        max_frames=1,
    )
    allowed = {float_type: tolerance} if isinstance(tolerance, int) else tolerance
    manifest = make_manifest(
        program,
        {"negative": Graph({"frame": frame}, {"out": frame})},
        selftest=SelfTest(BlobRef(TEST, "input"), BlobRef(TEST, "output"), allowed) if selftest else None,
        float_type=float_type,
    )
    expected = np.zeros_like(pictures) if black else 255 - pictures + np.uint8(wrong)
    blobs = {TEST: {"input": pictures, "output": expected}} if selftest else {}
    graphs = {"negative": negative(height, width, black=black)}
    make_bundle(root, manifest, graphs, blobs, [make_target()])
    return root

"""Small real bundles on disk for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_bundle, write_target
from v2v_runtime.manifest.model import (
    BUNDLE_SCHEMA,
    TARGET_SCHEMA,
    BlobRef,
    Call,
    CallOverride,
    Const,
    Emit,
    FrameSpec,
    Graph,
    Manifest,
    Param,
    Phase,
    Program,
    SelfTest,
    Target,
    TensorSpec,
    Variant,
)


def make_manifest(
    program: Program,
    graphs: Mapping[str, Graph],
    *,
    variants: Mapping[str, Variant] | None = None,
    float_type: Literal["float16", "float32"] = "float32",
    calls: Mapping[str, CallOverride] | None = None,
    selftest: SelfTest | None = None,
) -> Manifest:
    """A manifest without its files and identity; its one variant is ``main``, ``graphs/<graph>.onnx``."""
    main = Variant(float_type, {name: f"graphs/{name}.onnx" for name in graphs}, calls or {})
    return Manifest(
        schema=BUNDLE_SCHEMA,
        name="test",
        system="synthetic",
        identity="0" * 64,
        files=(),
        graphs=graphs,
        variants=variants or {"main": main},
        program=program,
        selftest=selftest,
        provenance={"tool": "tests"},
    )


def make_bundle(
    root: Path,
    manifest: Manifest,
    onnx: Mapping[str, bytes],
    blobs: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
    targets: Sequence[Target] = (),
    target_files: Mapping[str, bytes] | None = None,
) -> Bundle:
    """Writes the bundle with every target (each with the same ``target_files``) and opens it, fully verified.

    Args:
        onnx: graph -> bytes for the variant ``main``, or ``graphs/...`` path -> bytes.
        blobs: ``blobs/....safetensors`` -> tensor -> array.
    """
    graphs = {name if "/" in name else f"graphs/{name}.onnx": data for name, data in onnx.items()}
    write_bundle(root, manifest, graphs=graphs, blobs=blobs)
    for target in targets:
        write_target(root, target, target_files)
    return Bundle.open(root)


def make_target(**fields: Any) -> Target:
    """A target of variant ``main`` on ONNX Runtime's CPU provider; ``fields`` change it."""
    known = {
        "schema": TARGET_SCHEMA,
        "bundle": "0" * 64,
        "profile": "cpu",
        "backend": "onnxruntime",
        "variant": "main",
        "status": "verified",
        "options": {"provider": "cpu"},
    }
    return Target(**(known | fields))


def write_sample(root: Path) -> Bundle:
    """A bundle with a file of every kind: graphs with shared weights, blobs, two targets, engines.

    Its graphs are no real ONNX: nothing that checks files looks into them.
    """
    frame, table = TensorSpec("uint8", (1, 4, 6, 3)), TensorSpec("float", (3, 2))
    graphs = {"tint": Graph({"x": frame, "table": table, "gain": TensorSpec("float", (1,))}, {"y": frame})}
    tint = Call("tint", "tint", {"x": "video", "table": "table", "gain": "gain"}, {"y": "out"})
    video = FrameSpec(4, 6)
    program = Program(
        inputs={"video": video},
        outputs={"video": video},
        phases=(Phase("play", "forever", (tint,), emit=Emit("out")),),
        max_frames=1,
        params={"gain": Param("float", (1,), BlobRef("blobs/tables.safetensors", "gain"))},
        consts={"table": Const("float", (3, 2), BlobRef("blobs/tables.safetensors", "table"))},
    )
    test = "blobs/selftest.safetensors"
    selftest = SelfTest(BlobRef(test, "input"), BlobRef(test, "output"), {"float32": 1})
    pictures = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    return make_bundle(
        root,
        make_manifest(program, graphs, selftest=selftest),
        {"tint": b"the graph", "graphs/shared/weights.data": bytes(range(64))},
        {
            "blobs/tables.safetensors": {
                "gain": np.array([0.5], np.float32),
                "table": np.arange(6, dtype=np.float32).reshape(3, 2),
            },
            test: {"input": pictures, "output": pictures[::-1]},
        },
        [
            make_target(),
            make_target(
                profile="rtx4090", backend="tensorrt", status="built", engines={"tint": "engines/tint.plan"}
            ),
        ],
        {"engines/tint.plan": b"native code", "build.txt": b"a log"},
    )

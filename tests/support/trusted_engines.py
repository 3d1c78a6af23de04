"""A target whose engines come from elsewhere, and a backend that asks for trust and plays by ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bundles import make_target
from support.negative import write_negative
from v2v_runtime.backends import open_backend as open_by_name
from v2v_runtime.backends.base import Backend, Engine, EngineSpec
from v2v_runtime.backends.onnxruntime import OnnxRuntimeBackend
from v2v_runtime.backends.tensorrt import Options, TensorRTBackend
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_target

TARGET = "rtx4090.tensorrt"
PICTURES = np.full((2, 6, 8, 3), 100, np.uint8)


def from_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A negative of two frames with engines that were not built here; from now on ``AskingBackend`` plays
    them, and what was built here is recorded in the test's own folder."""
    monkeypatch.setenv("V2V_TRUST", str(folder / "trust"))
    monkeypatch.setattr("v2v_runtime.opening.open_backend", open_backend)
    return add_engines(write_negative(folder / "negative.v2v", PICTURES))


class AskingBackend(TensorRTBackend):
    """Refuses the engines that TensorRT's backend refuses, and plays graphs' ONNX files in their place."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = Options.read(options)
        self._player = OnnxRuntimeBackend.open({"threads": 1})
        self.memory = self._player.memory

    def load(self, spec: EngineSpec) -> Engine:
        assert spec.engine is not None
        self._require_trust(spec.graph, hashlib.sha256(spec.engine()).hexdigest())
        return self._player.load(spec)

    def close(self) -> None:
        self._player.close()


def open_backend(name: str, options: Mapping[str, Any]) -> Backend:
    """For ``v2v_runtime.opening.open_backend``."""
    return AskingBackend(options) if name == "tensorrt" else open_by_name(name, options)


def add_engines(root: Path, options: Mapping[str, Any] | None = None) -> Bundle:
    """Gives every graph of a bundle an engine, in a target for TensorRT of its first variant."""
    manifest = Bundle.open(root).manifest
    files = {f"{graph}.plan": f"native code of {graph}".encode() for graph in manifest.graphs}
    target = make_target(
        profile="rtx4090",
        backend="tensorrt",
        variant=next(iter(manifest.variants)),
        status="built",
        engines={graph: f"{graph}.plan" for graph in manifest.graphs},
        options=options or {"flavour": "rtx"},
    )
    write_target(root, target, files)
    return Bundle.open(root)


def engine_hashes(bundle: Bundle) -> list[str]:
    """What ``sha256sum`` prints of the engines' files."""
    folder = bundle.root / "targets" / TARGET
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.plan"))]


def target_hash(bundle: Bundle) -> str:
    """What ``sha256sum`` prints of the target's ``target.json``."""
    return hashlib.sha256((bundle.root / "targets" / TARGET / "target.json").read_bytes()).hexdigest()

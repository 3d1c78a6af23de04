"""Weights: each content once, in one file for a variant, the same bytes every time."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from v2v_export.export.weights import ALIGNMENT, INLINE_BYTES, SMALL_ALIGNMENT, WeightFile, pack
from v2v_export.system import GraphSpec
from v2v_runtime.manifest.model import TensorSpec


def test_the_same_content_is_stored_once() -> None:
    file = io.BytesIO()
    weights = WeightFile(file)
    first = weights.add(b"a" * 100)
    second = weights.add(b"b" * 100)
    assert weights.add(b"a" * 100) == first
    assert first == (0, 100)
    assert second == (2 * SMALL_ALIGNMENT, 100)
    assert weights.add(b"c" * ALIGNMENT) == (ALIGNMENT, ALIGNMENT)
    data = file.getvalue()
    assert len(data) == 2 * ALIGNMENT
    assert data[second[0] : second[0] + 100] == b"b" * 100


class Lin(nn.Module):
    def __init__(self, shared: nn.Linear, own: nn.Linear) -> None:
        super().__init__()
        self.shared, self.own = shared, own

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.own(self.shared(x))
        return y


@pytest.fixture
def packed(export: Any, tmp_path: Path) -> tuple[dict[str, Lin], dict[str, Path]]:
    """Two graphs that share one layer, packed."""
    torch.manual_seed(1)
    shared = nn.Linear(40, 40)
    modules = {name: Lin(shared, nn.Linear(40, 40)).eval() for name in ("one", "two")}
    port = TensorSpec("float", (1, 40))
    paths = {
        name: export(GraphSpec(name, partial(lambda made: made, module), {"x": port}, {"y": port}), name=name)
        for name, module in modules.items()
    }
    (tmp_path / "packed").mkdir()
    names = pack(paths, tmp_path / "packed", "fp32")
    return modules, {name: tmp_path / "packed" / file for name, file in names.items()}


def test_a_variant_is_one_file_of_weights(packed: tuple[dict[str, Lin], dict[str, Path]]) -> None:
    _, paths = packed
    folder = paths["one"].parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "fp32.one.onnx",
        "fp32.two.onnx",
        "fp32.weights",
    ]
    # Three matrices and no fourth; the biases (160 bytes) stay in the graphs.
    size = (folder / "fp32.weights").stat().st_size
    assert 3 * 40 * 40 * 4 <= size < 4 * 40 * 40 * 4
    assert INLINE_BYTES >= 40 * 4


def test_packed_graphs_compute_what_the_modules_do(packed: tuple[dict[str, Lin], dict[str, Path]]) -> None:
    import onnxruntime

    modules, paths = packed
    x = np.random.default_rng(0).normal(size=(1, 40)).astype(np.float32)
    for name, path in paths.items():
        onnx.checker.check_model(str(path))
        (seen,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": x})
        expected = modules[name](torch.from_numpy(x)).detach().numpy()
        assert np.abs(seen - expected).max() < 1e-5


def test_offsets_are_aligned(packed: tuple[dict[str, Lin], dict[str, Path]]) -> None:
    for path in packed[1].values():
        for tensor in onnx.load_model(path, load_external_data=False).graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                entry = {item.key: item.value for item in tensor.external_data}
                assert entry["location"] == "fp32.weights"
                assert int(entry["offset"]) % ALIGNMENT == 0
                assert int(entry["length"]) == 40 * 40 * 4


def test_no_file_for_no_weights(export: Any, tmp_path: Path) -> None:
    class Double(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    port = TensorSpec("float", (1, 4))
    path = export(GraphSpec("double", Double, {"x": port}, {"y": port}))
    assert [item.name for item in path.parent.iterdir()] == ["graph.onnx"]
    (tmp_path / "packed").mkdir()
    pack({"double": path}, tmp_path / "packed", "fp32")
    assert [item.name for item in (tmp_path / "packed").iterdir()] == ["fp32.double.onnx"]

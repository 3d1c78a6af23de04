"""``bilinear_sample`` against SciPy's interpolation, in torch and through its exported graph."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn
from v2v_plugins import trt_loader
from v2v_plugins.errors import PluginError
from v2v_plugins.sampling import LOWERINGS, bilinear_sample

NAMES = sorted(LOWERINGS)


class Sample(nn.Module):
    def __init__(self, lowering: str) -> None:
        super().__init__()
        self.lowering = lowering

    def forward(self, x: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        return bilinear_sample(x, rows, cols, self.lowering)


def places(size: int, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Positions inside, at both edges exactly, between the edges and the nothing beyond, and far outside."""
    edges = [-1e30, -100, -1.5, -1, -0.5, 0, size - 1, size - 0.5, size, size + 0.5, 1e9, np.inf]
    inside = generator.uniform(-1, size, shape)
    return np.where(generator.random(shape) < 0.5, inside, generator.choice(edges, shape))


def inputs(n: int, c: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng([n, c, height, width])
    shape = (n, height - 1, width + 3)  # as many samples as the caller likes, not as many as pixels
    x = generator.normal(0, 1, (n, c, height, width))
    return x, places(height, generator, shape), places(width, generator, shape)


def wanted(x: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    rows, cols = rows.clip(-1000, 1000), cols.clip(-1000, 1000)
    return np.stack(
        [
            [ndimage.map_coordinates(plane, places, order=1, mode="grid-constant") for plane in image]
            for image, *places in zip(x, rows, cols, strict=True)
        ]
    )


def exported(lowering: str, arguments: tuple[Tensor, ...]) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own, about itself
        program = torch.onnx.export(
            Sample(lowering),
            arguments,
            dynamo=True,
            opset_version=19,
            input_names=["x", "rows", "cols"],
            verbose=False,
        )
    assert program is not None
    return program.model_proto


SIZES = [(1, 4, 9, 13), (2, 3, 16, 7), (1, 1, 2, 2)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lowering", NAMES)
def test_value(lowering: str, size: tuple[int, int, int, int]) -> None:
    arrays = inputs(*size)
    found = bilinear_sample(*(torch.from_numpy(item) for item in arrays), lowering)
    np.testing.assert_allclose(found, wanted(*arrays), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("lowering", NAMES)
def test_exported(lowering: str, dtype: torch.dtype) -> None:
    """fp16: the planes are half, the positions single, as they come from a single-precision island."""
    x, rows, cols = inputs(2, 4, 9, 13)
    arguments = (
        torch.from_numpy(x).to(dtype),
        torch.from_numpy(rows).float(),
        torch.from_numpy(cols).float(),
    )
    model = exported(lowering, arguments)
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert ("Gather" in kinds) == (lowering == "gather")
    assert kinds.count("GridSample") == (lowering != "gather")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {name: item.numpy() for name, item in zip(("x", "rows", "cols"), arguments, strict=True)}
    found = session.run(None, feeds)[0]
    expected = wanted(*(item.double().numpy() for item in arguments))
    tolerance = 2e-5 if dtype == torch.float32 else 2e-3
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.skipif(trt_loader.find_tensorrt("rtx") is None, reason="TensorRT for RTX is not installed")
def test_both_forms_become_engines(tmp_path: Path) -> None:
    x, rows, cols = (torch.from_numpy(item).float() for item in inputs(1, 8, 16, 24))
    paths = []
    for lowering in ("gather", "gridsample"):
        for dtype in (torch.float32, torch.float16):
            paths.append(tmp_path / f"{lowering}-{dtype}.onnx")
            onnx.save(exported(lowering, (x.to(dtype), rows, cols)), paths[-1])
    child = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("trt_child.py")), "body", *map(str, paths)],
        env=trt_loader.child_environment(cache=tmp_path),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    for result in json.loads(child.stdout.splitlines()[-1]):
        assert result.get("bytes"), result
        assert result["output"] == [1, 8, 15, 27]


@pytest.mark.parametrize("lowering", NAMES)
def test_gradients(lowering: str) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(1, 2, 5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    rows = (torch.rand(1, 3, 4, generator=generator, dtype=torch.float64) * 6 - 1).requires_grad_()
    cols = (torch.rand(1, 3, 4, generator=generator, dtype=torch.float64) * 7 - 1).requires_grad_()
    torch.autograd.gradcheck(lambda *given: bilinear_sample(*given, lowering), (x, rows, cols))


@pytest.mark.parametrize("lowering", NAMES)
def test_a_position_that_is_no_number_stays_with_its_sample(lowering: str) -> None:
    x, rows, cols = inputs(1, 4, 9, 13)
    expected = wanted(x, rows, cols)
    rows[0, 2, 3] = cols[0, 4, 5] = np.nan
    found = bilinear_sample(*(torch.from_numpy(item) for item in (x, rows, cols)), lowering).numpy()
    others = np.ones(rows.shape[1:], bool)
    others[2, 3] = others[4, 5] = False
    np.testing.assert_allclose(found[:, :, others], expected[:, :, others], atol=1e-12)


def test_refusals() -> None:
    x, rows, cols = (torch.from_numpy(item) for item in inputs(1, 4, 9, 13))
    with pytest.raises(PluginError, match="bilinear_sample") as caught:
        bilinear_sample(x, rows, cols, "nearest")
    assert caught.value.code == "V2V-E7702"
    with pytest.raises(ValueError, match="rows"):
        bilinear_sample(x, rows, cols[:, 1:], "gather")
    with pytest.raises(ValueError, match="at least 2"):
        bilinear_sample(x[:, :, :1], rows, cols, "gather")

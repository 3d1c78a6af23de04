"""TensorRT for RTX builds the bodies, and takes the plugin in their place when it is told to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import v2v_plugins
from plugins.ada_bd.cases import Case, bare_model, make
from plugins.trt_builds import build, run_child
from v2v_plugins import trt_loader

pytestmark = pytest.mark.skipif(
    trt_loader.find_tensorrt("rtx") is None, reason="TensorRT for RTX is not installed"
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``lowering-precision`` -> the ONNX file, of a node that turns 16 channels into 8."""
    folder = tmp_path_factory.mktemp("models")
    case: Case = make("aligned")
    made = {}
    for dtype in (np.float32, np.float16):
        for lowering in ("gather", "gridsample"):
            model = bare_model(case, dtype)
            v2v_plugins.attach_bodies(model, lowering)
            name = f"{lowering}-{np.dtype(dtype).name}"
            made[name] = folder / f"{name}.onnx"
            onnx.save(model, made[name])
    return made


@pytest.fixture(scope="module")
def bodies(files: dict[str, Path], cache: Path) -> dict[str, dict[str, Any]]:
    return build("body", files, cache)


@pytest.fixture(scope="module")
def plugins(files: dict[str, Path], cache: Path) -> dict[str, dict[str, Any]]:
    return build("plugin", files, cache)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize(("lowering", "kernels"), [("gather", 2), ("gridsample", 3)])
def test_a_body_becomes_few_kernels(
    bodies: dict[str, dict[str, Any]], lowering: str, kernels: int, precision: str
) -> None:
    """gather: one generated kernel and one product; gridsample: the grid apart. A regression counter.

    Of sizes that are multiples of eight, as real ones are: others cost a padding around the product.
    """
    result = bodies[f"{lowering}-{precision}"]
    assert "error" not in result
    assert result["bytes"] > 0
    assert result["precision"] == {"float32": "FLOAT", "float16": "HALF"}[precision]
    assert result["output"] == [1, 8, 16, 24]
    assert len(result["layers"]) == kernels
    assert set(result["layers"]) <= {"kgen", "gemm"}
    assert all("blend (AdaBD)" in node for node in result["nodes"])


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("lowering", ["gather", "gridsample"])
def test_the_plugin_takes_the_bodys_place(
    plugins: dict[str, dict[str, Any]], lowering: str, precision: str
) -> None:
    """Of the same file: no kernel of the body is left, one custom layer stands for the node."""
    result = plugins[f"{lowering}-{precision}"]
    assert "error" not in result
    assert result["bytes"] > 0
    assert result["precision"] == {"float32": "FLOAT", "float16": "HALF"}[precision]
    assert result["output"] == [1, 8, 16, 24]
    assert result["layers"].count("custom_layer") == 1
    assert not {"kgen", "gemm"} & set(result["layers"])
    assert "blend" in result["nodes"][result["layers"].index("custom_layer")]


def test_a_process_without_the_library_is_told_before_it_dies(files: dict[str, Path]) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    child = run_child("plugin", list(files.values())[:1], environment)
    assert child.returncode == 1
    assert "V2V-E4703" in child.stderr
    assert "child_environment()" in child.stderr

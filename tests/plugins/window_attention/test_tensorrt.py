"""TensorRT for RTX makes one kernel of the unrolled body, and takes the plugin in its place when told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from plugins.trt_builds import build
from plugins.window_attention.test_body import HEADS, PLACES, ROWS, WIDTH, feeds, with_body
from v2v_plugins import trt_loader

pytestmark = pytest.mark.skipif(
    trt_loader.find_tensorrt("rtx") is None, reason="TensorRT for RTX is not installed"
)

FORMS = ("unrolled", "stacked", "matmul")


def built(mode: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Form -> what came of its float16 file."""
    files = {form: folder / f"{form}.onnx" for form in FORMS}
    for form, path in files.items():
        onnx.save(with_body(feeds(np.float16), form), path)
    return build(mode, files, folder)


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return built("body", tmp_path_factory.mktemp("bodies"))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_builds(bodies: dict[str, dict[str, Any]], form: str) -> None:
    assert "error" not in bodies[form]
    assert bodies[form]["bytes"] > 0
    assert bodies[form]["output"] == [ROWS, PLACES, HEADS, WIDTH]
    assert bodies[form]["precision"] == "HALF"


def test_unrolled_is_one_kernel_beside_its_tables(bodies: dict[str, dict[str, Any]]) -> None:
    """Flags and positions, inputs here, are cut into rows by a small one each; in a step they are made where
    they are cut. A regression counter."""
    assert bodies["unrolled"]["layers"] == ["kgen"] * 3
    assert all(len(bodies[form]["layers"]) > 3 for form in FORMS[1:])


def test_the_plugin_takes_the_bodys_place(tmp_path: Path) -> None:
    for result in built("plugin", tmp_path).values():
        assert "error" not in result
        assert result["layers"].count("custom_layer") == 1
        assert not {"kgen", "gemm"} & set(result["layers"])
        assert result["output"] == [ROWS, PLACES, HEADS, WIDTH]

"""TensorRT for RTX makes one kernel of the unrolled body, and takes the plugin in its place when told to."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import v2v_plugins
from plugins.window_attention.test_body import HEADS, PLACES, ROWS, WIDTH, feeds, with_body
from v2v_plugins import trt_loader
from v2v_plugins.errors import BackendError

pytestmark = pytest.mark.skipif(
    trt_loader.find_tensorrt("rtx") is None, reason="TensorRT for RTX is not installed"
)

CHILD = Path(__file__).parents[1] / "trt_child.py"
FORMS = ("unrolled", "stacked", "matmul")


def build(mode: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Form -> what came of its float16 file."""
    paths = []
    for form in FORMS:
        paths.append(folder / f"{form}.onnx")
        onnx.save(with_body(feeds(np.float16), form), paths[-1])
    command = [sys.executable, str(CHILD), mode, *map(str, paths)]
    environment = trt_loader.child_environment(cache=folder)
    child = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert child.returncode == 0, child.stderr[-3000:]
    return dict(zip(FORMS, json.loads(child.stdout.splitlines()[-1]), strict=True))


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return build("body", tmp_path_factory.mktemp("bodies"))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_builds(bodies: dict[str, dict[str, Any]], form: str) -> None:
    assert "error" not in bodies[form]
    assert bodies[form]["bytes"] > 0
    assert bodies[form]["output"] == [ROWS, PLACES, HEADS, WIDTH]
    assert bodies[form]["precision"] == "HALF"


def test_unrolled_is_one_kernel_beside_its_tables(bodies: dict[str, dict[str, Any]]) -> None:
    """Flags and positions, inputs here, are cut into rows by a small one. A regression counter."""
    assert bodies["unrolled"]["layers"] == ["kgen", "kgen"]
    assert all(len(bodies[form]["layers"]) > 2 for form in FORMS[1:])


def test_the_plugin_takes_the_bodys_place(tmp_path: Path) -> None:
    for result in build("plugin", tmp_path).values():
        assert "error" not in result
        assert result["layers"].count("custom_layer") == 1
        assert not {"kgen", "gemm"} & set(result["layers"])
        assert result["output"] == [ROWS, PLACES, HEADS, WIDTH]


def test_running_the_plugin_says_that_it_has_no_kernel() -> None:
    trt = trt_loader.load("rtx")
    creator = v2v_plugins.OPS["WindowAttention"].tensorrt_creator(trt)
    plugin = creator.create_plugin("window", trt.PluginFieldCollection([]), trt.TensorRTPhase.RUNTIME)
    with pytest.raises(BackendError, match="no GPU kernel yet") as caught:
        plugin.clone().enqueue([], [], [], [], 0, 0)
    assert caught.value.code == "V2V-E4704"

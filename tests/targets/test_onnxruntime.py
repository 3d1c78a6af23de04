"""The ONNX Runtime builder: it opens a session with the target's options and counts what is in the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from v2v_export.errors import BuildError
from v2v_export.profiles import load_profile
from v2v_export.targets.base import EngineRequest
from v2v_export.targets.onnxruntime import BUILDER


def _model(path: Path, op: str = "Relu", domain: str = "") -> None:
    """x -> MatMul with 8 x 8 weights -> two nodes of ``op`` -> y."""
    weights = numpy_helper.from_array(np.ones((8, 8), np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node(op, ["a"], ["b"], domain=domain),
        helper.make_node(op, ["b"], ["y"], domain=domain),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 8]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [weights])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("elsewhere", 1)]
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def _request(folder: Path, **options: Any) -> EngineRequest:
    (folder / "work").mkdir(exist_ok=True)
    return EngineRequest(
        "onnxruntime",
        "g",
        str(folder / "g.onnx"),
        str(folder / "work"),
        "float32",
        {},
        {"provider": "cpu", **options},
    )


def _quiet(phase: str, done: int | None = None, total: int | None = None) -> None:
    pass


def test_counters(tmp_path: Path) -> None:
    _model(tmp_path / "g.onnx")
    result = BUILDER.build(_request(tmp_path), _quiet)
    assert result.engine is None, "the engine is the ONNX file itself"
    assert result.counters["nodes"] == {"MatMul": 1, "Relu": 2}
    assert result.counters["weight_bytes"] == 8 * 8 * 4
    assert list((tmp_path / "work").iterdir()) == [], "nothing is left for the bundle"


def test_the_optimisation_that_the_target_asks_for(tmp_path: Path) -> None:
    """ReLU of ReLU is one ReLU: ONNX Runtime finds that out unless it is told not to."""
    _model(tmp_path / "g.onnx")
    off = BUILDER.build(_request(tmp_path, optimization="none"), _quiet).counters
    assert off["nodes_optimised_cpu"] == {"MatMul": 1, "Relu": 2}
    on = BUILDER.build(_request(tmp_path, optimization="all"), _quiet).counters
    assert on["nodes"] == off["nodes"]


def test_a_graph_that_is_refused(tmp_path: Path) -> None:
    _model(tmp_path / "g.onnx", "Unheard", "elsewhere")
    with pytest.raises(BuildError, match=r"E7120[\s\S]*'g'[\s\S]*Unheard"):
        BUILDER.build(_request(tmp_path), _quiet)


def test_external_weights_count(tmp_path: Path) -> None:
    _model(tmp_path / "g.onnx")
    model = onnx.load_model(tmp_path / "g.onnx")
    onnx.save_model(
        model, tmp_path / "g.onnx", save_as_external_data=True, location="g.weights", size_threshold=0
    )
    assert BUILDER.build(_request(tmp_path), _quiet).counters["weight_bytes"] == 8 * 8 * 4


def test_it_is_available_in_its_exact_version() -> None:
    state = BUILDER.available()
    assert state.ok
    assert state.version == onnxruntime.__version__


@pytest.mark.parametrize(("profile", "provider"), [("cpu", "cpu"), ("h100", "cuda"), ("h200", "cuda")])
def test_the_provider_of_a_profile(profile: str, provider: str) -> None:
    assert BUILDER.options(load_profile(profile).to_dict())["provider"] == provider


def test_a_target_holds_every_option_of_its_sessions() -> None:
    """Defaults too: equal results of two languages, or of two versions, must not hang on theirs."""
    assert BUILDER.options({"name": "mine", "options": {"onnxruntime": {"threads": 2}}}) == {
        "provider": "cpu",
        "device": 0,
        "threads": 2,
        "spin": False,
        "arena": True,
        "optimization": "all",
    }


@pytest.mark.parametrize("options", [{"provider": "rocm"}, {"povider": "cpu"}])
def test_options_that_the_backend_would_refuse(options: dict[str, str]) -> None:
    with pytest.raises(BuildError, match="E7110"):
        BUILDER.options({"name": "mine", "options": {"onnxruntime": options}})

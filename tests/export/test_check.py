"""The last pass refuses what a backend would refuse, or read wrongly, later."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn
from v2v_export.errors import BuildError
from v2v_export.export.passes.check import OPSET_CAP, check
from v2v_export.system import GraphSpec
from v2v_runtime.manifest.model import TensorSpec

PICTURE = TensorSpec("uint8", (1, 4, 4, 3))
FLOATS = TensorSpec("float", (1, 4))


class PermuteFirst(nn.Module):
    def forward(self, frame: Tensor) -> Tensor:
        return frame.permute(0, 3, 1, 2).float()


class PermuteLast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.uint8).permute(0, 2, 3, 1)


class BytesInside(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.uint8).float()


class GoodEdges(nn.Module):
    def forward(self, frame: Tensor) -> Tensor:
        return (frame.float() + 1).to(torch.uint8)


def _spec(module: nn.Module, given: TensorSpec, made: TensorSpec) -> GraphSpec:
    return GraphSpec("edges", lambda: module, {"x": given}, {"y": made})


@pytest.mark.parametrize(
    ("module", "given", "made", "word"),
    [
        (PermuteFirst(), PICTURE, TensorSpec("float", (1, 3, 4, 4)), "Transpose"),
        (PermuteLast(), TensorSpec("float", (1, 3, 4, 4)), PICTURE, "uint8"),
        (BytesInside(), FLOATS, FLOATS, "inside the graph"),
    ],
)
def test_bytes_are_for_edges(
    export: Any, module: nn.Module, given: TensorSpec, made: TensorSpec, word: str
) -> None:
    with pytest.raises(BuildError) as caught:
        export(_spec(module, given, made))
    assert caught.value.code == "V2V-E7016"
    assert word in str(caught.value)


def test_bytes_at_edges_are_good(export: Any) -> None:
    export(_spec(GoodEdges(), PICTURE, PICTURE))


def _model(**changes: Any) -> onnx.ModelProto:
    """x -> Relu -> y, with one thing changed."""
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, changes.get(name, [1, 4])) for name in "xy"
    ]
    node = helper.make_node(
        changes.get("op", "Relu"),
        ["x"],
        ["y"],
        domain=changes.get("domain", ""),
        name=changes.get("name", "n"),
    )
    graph = helper.make_graph([node], "g", ports[:1], ports[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", changes.get("opset", 18))])


def test_a_good_model_passes() -> None:
    check(_model(), "g")
    check(_model(x=["rows", 4], y=["rows", 4]), "g", ("x", "y"))


@pytest.mark.parametrize(
    ("changes", "rows", "code"),
    [
        ({"opset": OPSET_CAP + 1}, (), "V2V-E7014"),
        ({"x": ["rows", 4]}, (), "V2V-E7015"),
        ({"x": ["n", 4]}, ("x",), "V2V-E7015"),
        ({"x": [1, "rows"]}, ("x",), "V2V-E7015"),
        ({"x": [None, 4]}, ("x",), "V2V-E7015"),
        ({"domain": "com.elsewhere"}, (), "V2V-E7013"),
        ({"domain": "v2v"}, (), "V2V-E7013"),
        ({"name": f"{Path.home()}/model.py"}, (), "V2V-E7017"),
        ({"name": f"{tempfile.gettempdir()}/model.py"}, (), "V2V-E7017"),
        ({"name": f"{Path(__file__).resolve().parents[2]}/model.py"}, (), "V2V-E7017"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], rows: tuple[str, ...], code: str) -> None:
    with pytest.raises(BuildError) as caught:
        check(_model(**changes), "g", rows)
    assert caught.value.code == code


class Mean(nn.Module):
    """The operator whose reduction the exporter drops."""

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return torch.zeros_like(x).scatter_reduce(1, index, x, "mean")


class InPlaceMean(nn.Module):
    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        return torch.zeros_like(x).scatter_reduce_(1, index, x, "sum")


@pytest.mark.parametrize("module", [Mean(), InPlaceMean()])
def test_a_reduction_that_would_be_lost(export: Any, module: nn.Module) -> None:
    inputs = {"x": FLOATS, "index": TensorSpec("int64", (1, 4))}
    with pytest.raises(BuildError, match=r"E7018[\s\S]*scatter_reduce"):
        export(GraphSpec("mean", lambda: module, inputs, {"y": FLOATS}))


class UselessTap(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, x * 3


def test_a_tap_that_is_computed_for_itself(export: Any) -> None:
    spec = GraphSpec("tap", UselessTap, {"x": FLOATS}, {"y": FLOATS}, {"t": FLOATS})
    with pytest.raises(BuildError, match=r"E7012[\s\S]*'t'"):
        export(spec)

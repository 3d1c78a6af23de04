"""Exported graphs against their torch modules, as ONNX Runtime plays them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from v2v_export.errors import BuildError
from v2v_export.export.trace import examples
from v2v_export.system import GraphSpec
from v2v_runtime.manifest.model import TensorSpec

from .conftest import Small, small_spec


def _expected(module: nn.Module, spec: GraphSpec, rows: int | None = None) -> list[Tensor]:
    inputs = examples(spec, "float32")
    given = [value[:rows] if name in spec.dynamic_rows else value for name, value in inputs.items()]
    with torch.no_grad():
        return list(module(*given))


def test_float32(small: Small, export: Any, play: Any) -> None:
    spec = small_spec(small)
    out, feature, picture = _expected(small, spec)
    seen = play(export(spec), spec, taps=["picture"])
    assert np.abs(seen["feature"] - feature.numpy()).max() < 1e-5
    assert np.abs(seen["picture"] - picture.numpy()).max() < 1e-5
    assert np.abs(seen["out"].astype(int) - out.numpy()).max() <= 1
    assert seen["out"].std() > 10


def test_float16_follows_the_float32_module(small: Small, export: Any, play: Any) -> None:
    spec = small_spec(small)
    _, feature, picture = _expected(small, spec)
    half = small_spec(small.half())
    path = export(half, "float16")
    seen = play(path, half, "float16", taps=["picture"])
    assert seen["feature"].dtype == np.float16
    assert 0 < np.abs(seen["feature"] - feature.numpy()).max() < 2e-2
    assert np.abs(seen["picture"] - picture.numpy()).max() < 2e-2
    weights = onnx.load_model(path, load_external_data=False).graph.initializer
    assert {t.data_type for t in weights if len(t.dims) == 4} == {onnx.TensorProto.FLOAT16}


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_rows_are_dynamic(small: Small, export: Any, play: Any, rows: int) -> None:
    spec = small_spec(small, rows=4, dynamic=True)
    out, feature, _ = _expected(small, spec, rows)
    path = export(spec)
    seen = play(path, spec, rows=rows)
    assert seen["out"].shape == (rows, 8, 12, 3)
    assert np.abs(seen["feature"] - feature.numpy()).max() < 1e-5
    assert np.abs(seen["out"].astype(int) - out.numpy()).max() <= 1
    ports = onnx.load_model(path, load_external_data=False).graph.input
    assert {port.type.tensor_type.shape.dim[0].dim_param for port in ports} == {"rows", ""}


def test_ports_keep_name_order_and_what_is_not_used(small: Small, export: Any) -> None:
    graph = onnx.load_model(export(small_spec(small)), load_external_data=False).graph
    assert [port.name for port in graph.input] == ["frame", "memory", "step"]
    assert [port.name for port in graph.output] == ["out", "feature"], "the tap is inside"
    assert graph.name == "small"


def test_the_same_graph_gives_the_same_bytes(small: Small, export: Any) -> None:
    first, second = export(small_spec(small), name="a"), export(small_spec(small), name="b")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".weights").read_bytes() == second.with_suffix(".weights").read_bytes()


def test_the_file_is_clean(small: Small, export: Any) -> None:
    path = export(small_spec(small))
    data = path.read_bytes()
    for word in (b"stack_trace", b"fx_node", b"/home/", b"conftest", b"original_node_name"):
        assert word not in data
    model = onnx.load_model(path, load_external_data=False)
    scopes = [p.value for n in model.graph.node for p in n.metadata_props if p.key.endswith("name_scopes")]
    assert any("encode" in scope for scope in scopes), "nodes still tell their modules"
    assert {p.key for n in model.graph.node for p in n.metadata_props} == {"pkg.torch.onnx.name_scopes"}


class PassThrough(nn.Module):
    """A state that goes out as it came in, and an output that is another one's twin."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = x * 2
        return x, y, y + 0


def test_outputs_that_are_inputs_or_twins_stay_outputs(export: Any, play: Any) -> None:
    port = TensorSpec("float", (2, 3))
    spec = GraphSpec("p", PassThrough, {"x": port}, {"same": port, "double": port, "twin": port})
    seen = play(export(spec), spec)
    x = examples(spec, "float32")["x"].numpy()
    np.testing.assert_array_equal(seen["same"], x)
    np.testing.assert_array_equal(seen["double"], 2 * x)
    np.testing.assert_array_equal(seen["twin"], 2 * x)


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"out": TensorSpec("float", (1, 8, 12, 3))}, ["'out'"]),
        ({"out": TensorSpec("uint8", (1, 8, 12, 4))}, ["'out'", "[1, 8, 12, 3]", "[1, 8, 12, 4]"]),
        ({"feature": TensorSpec("float16", (1, 8, 8, 12))}, ["'feature'", "FLOAT16"]),
    ],
)
def test_declarations_that_are_not_so(
    small: Small, export: Any, outputs: dict[str, TensorSpec], words: list[str]
) -> None:
    spec = small_spec(small)
    wrong = GraphSpec("small", lambda: small, spec.inputs, {**spec.outputs, **outputs}, spec.taps)
    with pytest.raises(BuildError) as caught:
        export(wrong)
    assert caught.value.code == "V2V-E7011"
    assert all(word in str(caught.value) for word in words)


def test_one_output_too_few(small: Small, export: Any) -> None:
    spec = small_spec(small)
    with pytest.raises(BuildError, match=r"E701[01]"):
        export(GraphSpec("small", lambda: small, spec.inputs, spec.outputs))


def test_a_port_name_twice(small: Small, export: Any) -> None:
    spec = small_spec(small)
    twice = GraphSpec("small", lambda: small, spec.inputs, {"frame": spec.outputs["out"], **spec.outputs})
    with pytest.raises(BuildError, match=r"E7011[\s\S]*twice"):
        export(twice)


class DataDependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 0 else -x


def test_what_torch_cannot_export_is_told_with_the_graph(export: Any) -> None:
    port = TensorSpec("float", (2, 3))
    with pytest.raises(BuildError, match=r"E7010[\s\S]*'choice'") as caught:
        export(GraphSpec("choice", DataDependent, {"x": port}, {"y": port}))
    assert caught.value.__cause__ is not None


def test_examples_are_the_declared_ones_or_the_same_every_time(small: Small) -> None:
    spec = small_spec(small)
    given = GraphSpec("s", lambda: small, spec.inputs, spec.outputs, example={"step": torch.tensor([41])})
    assert examples(given, "float32")["step"].item() == 41
    first, second = examples(spec, "float32"), examples(spec, "float32")
    assert all(torch.equal(first[name], second[name]) for name in spec.inputs)
    assert first["step"].item() == 0
    assert examples(spec, "float16")["memory"].dtype == torch.float16

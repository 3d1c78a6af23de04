"""Attention sample by sample: the same numbers, a share of the scores at once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from v2v_export.verify.attention import sample_by_sample

SCORES = 3 * 2 * 5 * 7
"""Of three samples with two heads, five queries and seven keys."""


def model(
    keys: int = 3, *, mask: bool = False, shown: bool = False, kind: int = TensorProto.FLOAT16
) -> onnx.ModelProto:
    """softmax(q k) v with the softmax in float32, as engines fuse it, and something before and after."""
    value, kind = helper.make_tensor_value_info, TensorProto.FLOAT16
    scores = [3, 2, 5, 7]
    nodes = [
        helper.make_node("Neg", ["query"], ["q"]),
        helper.make_node("MatMul", ["q", "k"], ["scores"]),
        *([helper.make_node("Add", ["scores", "scores"], ["masked"])] if mask else []),
        helper.make_node("Cast", ["masked" if mask else "scores"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("Softmax", ["wide"], ["shares"], axis=-1),
        helper.make_node("Cast", ["shares"], ["narrow"], to=kind),
        helper.make_node("MatMul", ["narrow", "v"], ["mixed"]),
        helper.make_node("Neg", ["mixed"], ["y"]),
    ]
    inner = [
        value("q", kind, [3, 2, 5, 4]),
        value("scores", kind, scores),
        value("mixed", kind, [3, 2, 5, 4]),
    ]
    inputs = [
        value("query", kind, [3, 2, 5, 4]),
        value("k", kind, [keys, 2, 4, 7]),
        value("v", kind, [keys, 2, 7, 4]),
    ]
    outputs = [value("y", kind, [3, 2, 5, 4])] + (
        [value("shares", TensorProto.FLOAT, scores)] if shown else []
    )
    graph = helper.make_graph(nodes, "attention", inputs, outputs, value_info=inner)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def play(made: onnx.ModelProto, keys: int) -> NDArray[np.float16]:
    onnx.checker.check_model(made, full_check=True)
    draw = np.random.default_rng(3)
    given = {
        name: draw.standard_normal(shape).astype(np.float16)
        for name, shape in (("query", (3, 2, 5, 4)), ("k", (keys, 2, 4, 7)), ("v", (keys, 2, 7, 4)))
    }
    running = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = running.run(["y"], given)
    # Hand arithmetic in float64 beside both.
    q, k, v = (given[name].astype(np.float64) for name in ("query", "k", "v"))
    shares = np.exp(-q @ k)
    np.testing.assert_allclose(y, -(shares / shares.sum(-1, keepdims=True)) @ v, atol=4e-3)
    return np.asarray(y)


@pytest.mark.parametrize("keys", [3, 1], ids=["own keys", "shared keys"])
def test_parts_give_what_the_whole_gives(keys: int) -> None:
    whole = play(model(keys), keys)
    parts = model(keys)
    assert sample_by_sample(parts, SCORES - 1) == 1
    counts = Counter(node.op_type for node in parts.graph.node)
    assert counts["Softmax"] == 3
    assert counts["MatMul"] == 6
    assert counts["Split"] == (3 if keys == 3 else 1)
    np.testing.assert_array_equal(play(parts, keys), whole)


def test_each_sample_is_through_before_the_next_begins() -> None:
    parts = model()
    sample_by_sample(parts, SCORES - 1)
    order = [node.op_type for node in parts.graph.node if node.op_type in ("MatMul", "Softmax")]
    assert order == ["MatMul", "Softmax", "MatMul"] * 3


@pytest.mark.parametrize(
    ("made", "most"),
    [
        (model(), SCORES),
        (model(mask=True), 1),
        (model(shown=True), 1),
    ],
    ids=["few scores", "mask", "shares are an output"],
)
def test_what_is_small_or_of_another_form_stays(made: onnx.ModelProto, most: int) -> None:
    before = made.SerializeToString()
    assert sample_by_sample(made, most) == 0
    assert made.SerializeToString() == before

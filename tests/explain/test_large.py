"""Graphs of a diffusion model's size: thousands of nodes, gigabytes of weights that stay where they are."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper
from v2v_export.explain import count_bytes, count_macs, read_graph

BLOCKS = 420
WIDTH = 640
ROWS = 64


def _weight(name: str, shape: list[int]) -> TensorProto:
    """A weight whose data lie in a file that is not there."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT16, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="absent.weights")
    return tensor


def _block(index: int) -> list[onnx.NodeProto]:
    """Twelve nodes: a norm with a float32 island, a product, a residual."""
    x, n = f"x{index}", f"b{index}_"
    return [
        helper.make_node("Cast", [x], [f"{n}wide"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", [f"{n}wide", "axes"], [f"{n}mean"]),
        helper.make_node("Sub", [f"{n}wide", f"{n}mean"], [f"{n}centred"]),
        helper.make_node("Mul", [f"{n}centred", f"{n}centred"], [f"{n}square"]),
        helper.make_node("ReduceMean", [f"{n}square", "axes"], [f"{n}variance"]),
        helper.make_node("Sqrt", [f"{n}variance"], [f"{n}deviation"]),
        helper.make_node("Div", [f"{n}centred", f"{n}deviation"], [f"{n}normed"]),
        helper.make_node("Cast", [f"{n}normed"], [f"{n}narrow"], to=TensorProto.FLOAT16),
        helper.make_node("MatMul", [f"{n}narrow", f"w{index}"], [f"{n}product"]),
        helper.make_node("Sigmoid", [f"{n}product"], [f"{n}gate"]),
        helper.make_node("Mul", [f"{n}product", f"{n}gate"], [f"{n}silu"]),
        helper.make_node("Add", [f"{n}silu", x], [f"x{index + 1}"]),
    ]


def test_five_thousand_nodes_are_counted_without_their_weights(tmp_path: Path) -> None:
    port = [1, ROWS, WIDTH]
    graph = helper.make_graph(
        [node for index in range(BLOCKS) for node in _block(index)],
        "long",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT16, port)],
        [helper.make_tensor_value_info(f"x{BLOCKS}", TensorProto.FLOAT16, port)],
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [-1]),
            *(_weight(f"w{index}", [WIDTH, WIDTH]) for index in range(BLOCKS)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    (tmp_path / "long.onnx").write_bytes(model.SerializeToString())

    static = read_graph(tmp_path / "long.onnx")
    assert len(static.nodes) == 12 * BLOCKS > 5000
    assert count_macs(static).true == BLOCKS * ROWS * WIDTH * WIDTH
    traffic = count_bytes(static)
    assert traffic.weights == BLOCKS * WIDTH * WIDTH * 2 + 8
    assert traffic.inputs == traffic.outputs == ROWS * WIDTH * 2
    # With nothing fused, the fullest moment of a block is Sub: its input in float16, what it subtracts from
    # and what it makes in float32, and a mean per row.
    assert traffic.activations_unfused == ROWS * WIDTH * (2 + 4 + 4) + ROWS * 4

"""Bytes and live activations, against arithmetic by hand."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto, helper
from support.onnx_nets import node, save_net
from v2v_export.explain import count_bytes, count_macs, read_graph

#: Scratch of an engine that is one product or convolution, as the builder tells it.
WORKSPACE = 8_192_000


def test_bytes_of_a_chain(tmp_path: Path) -> None:
    # x 1x2x4x4 -> conv (3 channels) -> relu -> reshape -> relu; float16: 64, 96, 96, 96, 96 bytes.
    net = save_net(
        tmp_path / "m.onnx",
        [
            node("Conv", "x w", "a", pads=[1, 1, 1, 1]),
            node("Relu", "a", "b"),
            node("Flatten", "b", "c"),
            node("Relu", "c", "y"),
        ],
        {"x": [1, 2, 4, 4]},
        {"y": [1, 48]},
        {"w": [3, 2, 3, 3]},
        dtype=TensorProto.FLOAT16,
    )
    traffic = count_bytes(read_graph(net))
    assert (traffic.inputs, traffic.outputs, traffic.weights) == (64, 96, 108)
    assert traffic.fused == 64 + 96 + 108
    # Conv reads 64 + 108 and writes 96, each Relu reads and writes 96, Flatten moves nothing.
    assert traffic.unfused == (64 + 108 + 96) + 2 * (96 + 96)
    # While the first Relu runs, its input and its output live; y is the caller's.
    assert traffic.activations_unfused == 96 + 96
    # An engine: x copied channel last and a, in blocks of 512, and the workspace of a convolution.
    assert traffic.activations == 2 * 512 + WORKSPACE


def test_a_skip_connection_keeps_its_tensor_alive(tmp_path: Path) -> None:
    # a (64 bytes) waits for the sum while b, c (64 each) come and go: a + b + c.
    net = save_net(
        tmp_path / "m.onnx",
        [node("Relu", "x", "a"), node("Relu", "a", "b"), node("Relu", "b", "c"), node("Add", "a c", "y")],
        {"x": [16]},
        {"y": [16]},
    )
    traffic = count_bytes(read_graph(net))
    assert traffic.activations_unfused == 3 * 64
    assert traffic.unfused == 3 * 128 + 192


def test_constants_are_folded_away(tmp_path: Path) -> None:
    net = save_net(
        tmp_path / "m.onnx",
        [node("Add", "w w", "v"), node("Mul", "x v", "y")],
        {"x": [16]},
        {"y": [16]},
        {"w": [16]},
    )
    traffic = count_bytes(read_graph(net))
    assert traffic.unfused == 3 * 64
    assert traffic.weights == 64


def test_an_engine_stores_what_products_read_and_reductions_write(tmp_path: Path) -> None:
    # conv (256 bytes) -> relu -> gather of 9 rows for each of 4 (2304) -> sum over 9 (256 as float32).
    rows = helper.make_tensor("rows", TensorProto.INT64, [4, 9], [0] * 36)
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    net = save_net(
        tmp_path / "m.onnx",
        [
            node("MatMul", "x w", "a"),
            node("Relu", "a", "b"),
            node("Gather", "b rows", "c", axis=0),
            node("ReduceSum", "c axes", "d", keepdims=0),
            node("MatMul", "d v", "y"),
        ],
        {"x": [4, 8]},
        {"y": [4, 2]},
        {"w": [8, 16], "v": [16, 2]},
        constants=[rows, axes],
    )
    traffic = count_bytes(read_graph(net))
    assert traffic.activations_unfused == 9 * 256 + 256  # the gathered rows and their sum
    # The first product, which is read through relu and gather, and the sum: each fits a block of 512.
    assert traffic.activations == 2 * 512 + WORKSPACE


def test_a_product_writes_the_type_that_the_next_one_reads(tmp_path: Path) -> None:
    net = save_net(
        tmp_path / "m.onnx",
        [
            node("MatMul", "x w", "a"),
            node("Cast", "a", "b", to=TensorProto.FLOAT16),
            node("Cast", "b", "c", to=TensorProto.FLOAT),
            node("MatMul", "c w", "y"),
        ],
        {"x": [8, 8]},
        {"y": [8, 8]},
        {"w": [8, 8]},
    )
    traffic = count_bytes(read_graph(net))
    assert traffic.activations_unfused == 256 + 128
    assert traffic.activations == 512 + WORKSPACE  # 256 bytes of float32


def test_a_scan_counts_its_body_for_every_trip(tmp_path: Path) -> None:
    # 5 lines of 3 x 8, each times an 8 x 4 matrix from outside the body; its relu is 48 bytes.
    body = helper.make_graph(
        [node("MatMul", "line w", "p"), node("Relu", "p", "out")],
        "line",
        [helper.make_tensor_value_info("line", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    net = save_net(
        tmp_path / "m.onnx",
        [node("Scan", "x", "lines", body=body, num_scan_inputs=1), node("MatMul", "lines v", "y")],
        {"x": [5, 3, 8]},
        {"y": [5, 3, 2]},
        {"w": [8, 4], "v": [4, 2]},
    )
    graph = read_graph(net)
    assert count_macs(graph).by_op == {"MatMul": 5 * 3 * 8 * 4 + 5 * 3 * 4 * 2}
    traffic = count_bytes(graph)
    assert traffic.weights == 4 * (32 + 8)
    per_trip = (96 + 128 + 48) + (48 + 48)
    assert traffic.unfused == 5 * per_trip + (240 + 32 + 120)
    assert traffic.activations_unfused == 240 + 48  # the lines, and one trip's product

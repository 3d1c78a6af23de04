"""Bytes and live activations, against arithmetic by hand."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto
from v2v_export.explain import count_bytes, read_graph

from tests.explain.onnx_nets import node, save_net


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
    assert traffic.activations == 96 + 96


def test_a_skip_connection_keeps_its_tensor_alive(tmp_path: Path) -> None:
    # a (64 bytes) waits for the sum while b, c (64 each) come and go: a + b + c.
    net = save_net(
        tmp_path / "m.onnx",
        [node("Relu", "x", "a"), node("Relu", "a", "b"), node("Relu", "b", "c"), node("Add", "a c", "y")],
        {"x": [16]},
        {"y": [16]},
    )
    traffic = count_bytes(read_graph(net))
    assert traffic.activations == 3 * 64
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

"""The estimate of an engine's scratch, against arithmetic by hand."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from onnx import TensorProto, helper
from support.onnx_nets import node, save_net
from support.scratch_nets import FLOAT, HALF, attention_net, keys_net, products_net, residual_net
from v2v_export.explain import read_graph
from v2v_export.explain.scratch import Held, blocks_bytes, scratch_bytes

#: Scratch of an engine that is one product or convolution, as the builder tells it.
WORKSPACE = 8_192_000


def scratch(net: Path) -> int:
    return scratch_bytes(read_graph(net))


def test_element_wise_work_between_ports_stores_nothing(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "a"), node("Tanh", "a", "b"), node("Add", "b a", "y")]
    assert scratch(save_net(tmp_path / "m.onnx", nodes, {"x": [64, 64]}, {"y": [64, 64]})) == 0


def test_a_product_writes_what_its_activation_would(tmp_path: Path) -> None:
    # 4096 x 320 -> 1280 -> 320 -> 64: 4096 x 1280 and 4096 x 320 numbers of 2 bytes between three products.
    net = products_net(tmp_path / "m.onnx", [320, 1280, 320])
    assert scratch(net) == WORKSPACE + 2 * 4096 * (1280 + 320)


def test_what_is_added_to_a_product_is_added_by_a_kernel_of_its_own(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "p"), node("Add", "p r", "s"), node("MatMul", "s v", "y")]
    shapes = {"x": [1024, 64], "r": [1024, 256]}
    weights = {"w": [64, 256], "v": [256, 64]}
    net = save_net(tmp_path / "m.onnx", nodes, shapes, {"y": [1024, 64]}, weights)
    assert scratch(net) == WORKSPACE + 2 * 1024 * 256 * 4  # the product, and the sum that the next one reads


def test_a_convolution_adds_and_keeps_three_tensors(tmp_path: Path) -> None:
    # While the last convolution runs: its input, the skipped tensor and its result, 64 x 64 x 64 of 2 bytes.
    # The first one's input, 8 channels, is gone by then.
    assert scratch(residual_net(tmp_path / "m.onnx")) == WORKSPACE + 3 * 2 * 64**3


def test_ports_that_a_convolution_touches_are_copied(tmp_path: Path) -> None:
    shape = [1, 64, 64, 64]
    nodes = [node("Conv", "x w", "y", pads=[1] * 4)]
    net = save_net(tmp_path / "m.onnx", nodes, {"x": shape}, {"y": shape}, {"w": [64, 64, 3, 3]}, dtype=HALF)
    assert scratch(net) == WORKSPACE + 2 * 2 * 64**3


@pytest.mark.parametrize("wide", [False, True], ids=["half", "float32 softmax"])
def test_an_attention_stores_no_scores(tmp_path: Path, wide: bool) -> None:
    net = attention_net(tmp_path / "m.onnx", heads=8, length=1024, size=40, wide=wide)
    assert scratch(net) == 4 * 2 * 8 * 1024 * 40  # queries, keys, values and result, copied at their ports


SCORES = 8 * 1024 * 1024
PROBABILITIES = SCORES  # as many numbers


def test_an_attention_in_float32_stores_its_scores(tmp_path: Path) -> None:
    net = attention_net(tmp_path / "m.onnx", heads=8, length=1024, size=40, dtype=FLOAT)
    assert scratch(net) == WORKSPACE + 4 * (SCORES + PROBABILITIES)


@pytest.mark.parametrize("size", [8, 264])
def test_a_head_size_without_a_kernel_stores_its_scores(tmp_path: Path, size: int) -> None:
    net = attention_net(tmp_path / "m.onnx", heads=8, length=1024, size=size)
    assert scratch(net) == WORKSPACE + 2 * (SCORES + PROBABILITIES)


def test_scores_that_somebody_else_reads_are_stored(tmp_path: Path) -> None:
    net = attention_net(tmp_path / "m.onnx", heads=8, length=1024, size=40, more=True)
    assert scratch(net) == WORKSPACE + 2 * (SCORES + PROBABILITIES)


def test_products_of_one_tensor_are_one_tensor(tmp_path: Path) -> None:
    # The normalised input, 1024 x 256, and all three products side by side, 1024 x 2240.
    assert scratch(keys_net(tmp_path / "m.onnx")) == WORKSPACE + 2 * 1024 * (256 + 320 + 640 + 1280)


def norm_net(path: Path, *, groups: bool) -> Path:
    """Convolution, normalisation in float32, ReLU, convolution, on a picture [1, 64, 64, 8]."""
    count = 32 if groups else 64
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w", "c", pads=[1] * 4),
        node("Cast", "c", "c32", to=FLOAT),
        node("Reshape", "c32 inner" if groups else "c32 outer", "r"),
        node("InstanceNormalization", "r one zero", "i"),
        node("Reshape", "i outer", "n"),
        node("Cast", "n", "h", to=HALF),
        node("Relu", "h", "a"),
        node("Conv", "a v", "d", pads=[1] * 4),
        node("Transpose", "d", "y", perm=[0, 2, 3, 1]),
    ]
    constants = [
        helper.make_tensor("inner", TensorProto.INT64, [3], [0, count, -1]),
        helper.make_tensor("outer", TensorProto.INT64, [4], [1, 64, 64, 64]),
        helper.make_tensor("one", FLOAT, [count], [1.0] * count),
        helper.make_tensor("zero", FLOAT, [count], [0.0] * count),
    ]
    shapes = {"x": [1, 64, 64, 8]}, {"y": [1, 64, 64, 64]}
    weights = {"w": [64, 8, 3, 3], "v": [64, 64, 3, 3]}
    return save_net(path, nodes, *shapes, weights, dtype=HALF, constants=constants)


def test_a_group_norm_is_one_kernel_with_its_casts(tmp_path: Path) -> None:
    # The convolution's result and the normalised one; both are 64^3 numbers of 2 bytes.
    assert scratch(norm_net(tmp_path / "m.onnx", groups=True)) == WORKSPACE + 2 * 2 * 64**3


def test_a_norm_channel_by_channel_reads_and_writes_float32(tmp_path: Path) -> None:
    # What it reads and what it writes, of 4 bytes; half precision before and behind has room in those.
    assert scratch(norm_net(tmp_path / "m.onnx", groups=False)) == WORKSPACE + 2 * 4 * 64**3


def test_a_sum_of_everything_holds_partial_sums(tmp_path: Path) -> None:
    nodes = [node("Abs", "x", "a"), node("ReduceSum", "a", "y", keepdims=0)]
    net = save_net(tmp_path / "m.onnx", nodes, {"x": [1024, 1024]}, {"y": []})
    assert scratch(net) == 512 * 576 * 4


def test_a_port_that_the_graph_reads_is_a_copy(tmp_path: Path) -> None:
    # y leaves the graph and goes on: 512 x 64 numbers of 4 bytes are there until z's product has read them.
    nodes = [node("MatMul", "x w", "y"), node("MatMul", "y v", "z")]
    ports = {"y": [512, 64], "z": [512, 64]}
    net = save_net(tmp_path / "m.onnx", nodes, {"x": [512, 64]}, ports, {"w": [64, 64], "v": [64, 64]})
    assert scratch(net) == WORKSPACE + 4 * 512 * 64


def test_a_scan_holds_what_one_trip_does(tmp_path: Path) -> None:
    body = helper.make_graph(
        [node("MatMul", "line w", "p"), node("Tanh", "p", "t"), node("MatMul", "t v", "out")],
        "line",
        [helper.make_tensor_value_info("line", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    net = save_net(
        tmp_path / "m.onnx",
        [node("Scan", "x", "y", body=body, num_scan_inputs=1)],
        {"x": [5, 128, 8]},
        {"y": [5, 128, 4]},
        {"w": [8, 16], "v": [16, 4]},
    )
    assert scratch(net) == WORKSPACE + 4 * 128 * 16


def test_blocks_are_handed_on_whole() -> None:
    chain = [Held(index, index + 1, nbytes) for index, nbytes in enumerate([1, 4, 4, 2, 8, 2])]
    # 8 serves the first 4 too; the second 4, which meets that, is a block of its own and serves the 1 and the
    # last 2; the first 2 meets both.
    assert blocks_bytes(chain) == 8 + 4 + 2
    assert max(a.nbytes + b.nbytes for a, b in pairwise(chain)) == 10
    assert blocks_bytes([]) == 0


def test_tensors_that_never_meet_share_one_block() -> None:
    assert blocks_bytes([Held(0, 1, 5), Held(2, 3, 7), Held(4, 4, 6)]) == 7
    assert blocks_bytes([Held(0, 2, 5), Held(2, 3, 7)]) == 12

"""Multiply-adds, against arithmetic by hand."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import NodeProto, TensorProto, helper
from support.onnx_nets import node, save_net
from v2v_export.errors import ModelError
from v2v_export.explain import count_macs, read_graph


def test_grouped_strided_convolution(tmp_path: Path) -> None:
    # 9 x 11 with padding 1, kernel 3 and stride 2 gives 5 x 6; each of 12 channels reads 8 / 4 = 2.
    net = save_net(
        tmp_path / "m.onnx",
        [node("Conv", "x w", "y", group=4, strides=[2, 2], pads=[1, 1, 1, 1])],
        {"x": [2, 8, 9, 11]},
        {"y": [2, 12, 5, 6]},
        {"w": [12, 2, 3, 3]},
    )
    macs = count_macs(read_graph(net))
    assert (macs.true, macs.paper) == (2 * 12 * 5 * 6 * 2 * 9, 2 * 12 * 5 * 6 * 2 * 9)
    assert macs.by_op == {"Conv": 12960}
    assert macs.by_dtype == {"float32": 12960}


def test_transposed_convolution_in_both_conventions(tmp_path: Path) -> None:
    # Each of 6 x 5 x 7 input values meets 4 x 9 kernel values once; the papers' tool takes 10 x 14 outputs
    # of 4 channels, each as if it read all 6 x 9: stride 2 makes that 4 times as many.
    net = save_net(
        tmp_path / "m.onnx",
        [node("ConvTranspose", "x w", "y", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])],
        {"x": [1, 6, 5, 7]},
        {"y": [1, 4, 10, 14]},
        {"w": [6, 4, 3, 3]},
    )
    macs = count_macs(read_graph(net))
    assert macs.true == 6 * 5 * 7 * 4 * 9
    assert macs.paper == 10 * 14 * 4 * 6 * 9 == 4 * macs.true


def test_grouped_transposed_convolution(tmp_path: Path) -> None:
    net = save_net(
        tmp_path / "m.onnx",
        [node("ConvTranspose", "x w", "y", group=2, strides=[1, 1])],
        {"x": [1, 6, 5, 7]},
        {"y": [1, 8, 6, 8]},
        {"w": [6, 4, 2, 2]},
    )
    macs = count_macs(read_graph(net))
    assert macs.true == 6 * 5 * 7 * 4 * 4
    assert macs.paper == 8 * 6 * 8 * (6 // 2) * 4


def test_deformable_convolution_is_dense_and_unseen_by_the_papers(tmp_path: Path) -> None:
    net = save_net(
        tmp_path / "m.onnx",
        [node("DeformConv", "x w o - m", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=2)],
        {"x": [1, 8, 6, 7], "o": [1, 18, 6, 7], "m": [1, 9, 6, 7]},
        {"y": [1, 10, 6, 7]},
        {"w": [10, 4, 3, 3]},
        opset=19,
        dtype=TensorProto.FLOAT16,
    )
    macs = count_macs(read_graph(net))
    assert (macs.true, macs.paper) == (10 * 6 * 7 * 4 * 9, 0)
    assert macs.by_dtype == {"float16": macs.true}


def test_products_of_matrices(tmp_path: Path) -> None:
    net = save_net(
        tmp_path / "m.onnx",
        [node("MatMul", "x y", "p"), node("Gemm", "a b", "q", transA=1)],
        {"x": [2, 1, 3, 4], "y": [5, 4, 6], "a": [7, 11]},
        {"p": [2, 5, 3, 6], "q": [11, 13]},
        {"b": [7, 13]},
    )
    macs = count_macs(read_graph(net))
    assert macs.by_op == {"MatMul": 2 * 5 * 3 * 6 * 4, "Gemm": 11 * 13 * 7}


def test_attention_with_four_axes(tmp_path: Path) -> None:
    # Per head: 10 x 7 scores of 16 products each, then 10 x 5 values of 7 products each.
    net = save_net(
        tmp_path / "m.onnx",
        [node("Attention", "q k v", "y")],
        {"q": [2, 3, 10, 16], "k": [2, 3, 7, 16], "v": [2, 3, 7, 5]},
        {"y": [2, 3, 10, 5]},
    )
    assert count_macs(read_graph(net)).true == 2 * 3 * (10 * 7 * 16 + 10 * 5 * 7)


def test_attention_with_shared_heads_and_a_past(tmp_path: Path) -> None:
    # 4 query heads of 8 over 2 key heads; 6 new keys after 9 old ones.
    net = save_net(
        tmp_path / "m.onnx",
        [node("Attention", "q k v - pk pv", "y nk nv", q_num_heads=4, kv_num_heads=2)],
        {"q": [1, 5, 32], "k": [1, 6, 16], "v": [1, 6, 16], "pk": [1, 2, 9, 8], "pv": [1, 2, 9, 8]},
        {"y": [1, 5, 32], "nk": [1, 2, 15, 8], "nv": [1, 2, 15, 8]},
    )
    assert count_macs(read_graph(net)).true == 4 * 5 * 15 * (8 + 8)


def test_an_op_of_ours_counts_as_its_body(tmp_path: Path) -> None:
    body = helper.make_function(
        "v2v",
        "Twice",
        ["x", "w"],
        ["y"],
        [node("Conv", "x w", "t", pads=[1, 1, 1, 1]), node("Conv", "t w", "y", pads=[1, 1, 1, 1])],
        [helper.make_opsetid("", 23)],
    )
    net = save_net(
        tmp_path / "m.onnx",
        [helper.make_node("Twice", ["x", "w"], ["y"], domain="v2v", name="twice")],
        {"x": [1, 4, 5, 6]},
        {"y": [1, 4, 5, 6]},
        {"w": [4, 4, 3, 3]},
        functions=[body],
    )
    assert count_macs(read_graph(net)).true == 2 * (4 * 5 * 6 * 4 * 9)


@pytest.mark.parametrize(
    "unknown",
    [
        helper.make_node("Mystery", ["x"], ["y"], domain="v2v", name="it"),
        node("Einsum", "x x", "y", equation="ij,ij->ij"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path: Path, unknown: NodeProto) -> None:
    net = save_net(tmp_path / "m.onnx", [unknown], {"x": [2, 3]}, {"y": [2, 3]})
    with pytest.raises(ModelError) as caught:
        count_macs(read_graph(net))
    assert caught.value.code == "V2V-E6203"


def test_open_axes_take_the_shapes_that_are_given(tmp_path: Path) -> None:
    net = save_net(
        tmp_path / "m.onnx",
        [node("MatMul", "x w", "y")],
        {"x": ["rows", 4]},
        {"y": ["rows", 6]},
        {"w": [4, 6]},
    )
    with pytest.raises(ModelError) as caught:
        count_macs(read_graph(net))
    assert caught.value.code == "V2V-E6201"
    assert count_macs(read_graph(net, {"x": (8, 4)})).true == 8 * 4 * 6
    with pytest.raises(ModelError) as caught:
        read_graph(net, {"x": (8, 5)})
    assert caught.value.code == "V2V-E6202"
    with pytest.raises(ModelError) as caught:
        read_graph(net, {"z": (8, 4)})
    assert caught.value.code == "V2V-E6202"


def test_shapes_from_constants_in_a_file_of_their_own(tmp_path: Path) -> None:
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [6, 4])
    net = save_net(
        tmp_path / "m.onnx",
        [node("Reshape", "x s", "t"), node("MatMul", "t w", "y")],
        {"x": [2, 3, 4]},
        {"y": ["a", "b"]},
        {"w": [4, 5]},
        constants=[shape],
    )
    model = onnx.load(str(net))
    onnx.save(model, str(net), save_as_external_data=True, location="m.data", size_threshold=0)
    assert count_macs(read_graph(net)).true == 6 * 4 * 5


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\xff" * 64)
    with pytest.raises(ModelError) as caught:
        read_graph(path)
    assert caught.value.code == "V2V-E6202"

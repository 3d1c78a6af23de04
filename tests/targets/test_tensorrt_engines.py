"""Real engines of TensorRT for RTX, built in child processes for GPUs that are not here."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.onnx_nets import node
from support.tensorrt_nets import (
    BYTE,
    FLOAT,
    HALF,
    attention_net,
    build,
    port,
    request,
    rows_net,
    save,
    warping_net,
)
from v2v_export.errors import BuildError
from v2v_export.targets._tensorrt.header import read_header
from v2v_export.targets.tensorrt import BUILDER

pytestmark = pytest.mark.skipif(not BUILDER.available().ok, reason=BUILDER.available().reason)


@pytest.mark.parametrize(
    ("profile", "capability"),
    [("rtx2080ti", "7.5"), ("a100", "8.0"), ("rtx3090", "8.6"), ("rtx4090", "8.9"), ("rtx5090", "12.0")],
)
def test_uint8_edges_norm_and_sampling_build_for_every_capability(
    tmp_path: Path, profile: str, capability: str
) -> None:
    result = build(request(warping_net(tmp_path / "warp.onnx"), tmp_path / "work", profile))
    assert result.engine == "warp.engine"
    engine = (tmp_path / "work" / "warp.engine").read_bytes()
    header = read_header(engine[:64])
    assert header is not None
    assert header.capabilities == (capability,)
    assert header.nbytes == len(engine) == result.counters["engine_bytes"]
    counters = result.counters
    # Two convolutions, of which the last may be fused with what follows; the rest is generated around them.
    kinds = counters["kernels_by_type"]
    assert kinds.get("correlation", 0) + kinds.get("runtime_fusion", 0) == 2
    assert counters["kernels"] == sum(counters["kernels_by_type"].values())
    assert counters["kernels"] >= 4
    assert sum(counters["tactics"].values()) == counters["kernels"]
    assert counters["attentions"] == counters["attentions_fused"] == 0
    # At least the weights themselves: 8 x 3 x 9 and 3 x 8 x 9 in float16.
    assert counters["weight_bytes"] >= 2 * (216 + 216)
    # At least one float32 plane of 8 x 32 x 48 between the kernels.
    assert counters["activation_bytes"] >= 4 * 8 * 32 * 48
    assert result.peak_memory > 0


def test_two_builds_are_identical_to_the_byte(tmp_path: Path) -> None:
    net = warping_net(tmp_path / "warp.onnx")
    digests = []
    for work in ("one", "two"):
        result = build(request(net, tmp_path / work))
        digests.append(hashlib.sha256((tmp_path / work / str(result.engine)).read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    assert [path.name for path in (tmp_path / "trust").iterdir()] == [digests[0]]  # recorded as built here


def test_attention_is_fused_where_there_is_a_kernel(tmp_path: Path) -> None:
    counters = build(request(attention_net(tmp_path / "a.onnx", HALF, 64), tmp_path / "w")).counters
    assert (counters["attentions"], counters["attentions_fused"]) == (1, 1)


@pytest.mark.parametrize(("dtype", "head_size"), [(FLOAT, 64), (HALF, 8)])
def test_attention_without_a_kernel_is_decomposed(tmp_path: Path, dtype: int, head_size: int) -> None:
    counters = build(request(attention_net(tmp_path / "a.onnx", dtype, head_size), tmp_path / "w")).counters
    assert (counters["attentions"], counters["attentions_fused"]) == (1, 0)
    assert counters["kernels_by_type"]["gemm"] == 2  # Q K^T and P V


def test_row_buckets_share_the_weights(tmp_path: Path) -> None:
    net = rows_net(tmp_path / "rows.onnx", width=256)
    one = build(request(net, tmp_path / "one", buckets={"x": (64,)})).counters
    three = build(request(net, tmp_path / "three", buckets={"x": (16, 64, 256), "y": (16, 64, 256)})).counters
    weights = 2 * 2 * 256 * 256  # two matrices in float16
    assert weights <= one["weight_bytes"] < 1.5 * weights
    assert three["weight_bytes"] < 1.5 * weights
    assert len(three["kernels_by_bucket"]) == 3
    assert min(three["kernels_by_bucket"]) >= 1
    assert three["kernels_by_bucket"][2] == three["kernels"]
    assert "kernels_by_bucket" not in one


@pytest.mark.parametrize("buckets", [{}, {"y": (4, 8)}, {"x": (4, 8), "z": (4, 8)}])
def test_open_axes_and_buckets_must_fit(tmp_path: Path, buckets: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(BuildError) as caught:
        build(request(rows_net(tmp_path / "rows.onnx"), tmp_path / "w", buckets=buckets))
    assert caught.value.code == "V2V-E7204"
    assert "open axes at x" in caught.value.seen


def test_a_deformable_convolution_is_refused_with_the_way_out(tmp_path: Path) -> None:
    net = save(
        tmp_path / "deform.onnx",
        [node("DeformConv", "x w o - m", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1])],
        [port("x", HALF, 1, 8, 16, 16), port("o", HALF, 1, 18, 16, 16), port("m", HALF, 1, 9, 16, 16)],
        [port("y", HALF, 1, 8, 16, 16)],
        {"w": np.zeros((8, 8, 3, 3), np.float16)},
        opset=19,
    )
    with pytest.raises(BuildError) as caught:
        build(request(net, tmp_path / "w"))
    assert caught.value.code == "V2V-E7202"
    assert "'DeformConv_y' (DeformConv)" in caught.value.seen
    assert '"gather"' in caught.value.fix


def test_an_op_without_a_body_is_refused_and_not_fatal(tmp_path: Path) -> None:
    mystery = helper.make_node("Mystery", ["x"], ["y"], domain="v2v", name="it")
    net = save(tmp_path / "m.onnx", [mystery], [port("x", HALF, 1, 8)], [port("y", HALF, 1, 8)])
    with pytest.raises(BuildError) as caught:
        build(request(net, tmp_path / "w"))
    assert caught.value.code == "V2V-E7202"
    assert "'it' (Mystery)" in caught.value.seen
    assert "body" in caught.value.fix


def test_uint8_inside_is_refused_with_the_way_out(tmp_path: Path) -> None:
    net = save(
        tmp_path / "u8.onnx",
        [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Cast", "t", "y", to=HALF)],
        [port("x", BYTE, 1, 8, 8, 3)],
        [port("y", HALF, 1, 3, 8, 8)],
    )
    with pytest.raises(BuildError) as caught:
        build(request(net, tmp_path / "w"))
    assert caught.value.code == "V2V-E7202"
    assert "Transpose_t" in caught.value.seen
    assert "uint8" in caught.value.fix


def test_a_workspace_that_is_too_small(tmp_path: Path) -> None:
    # The two float32 planes around the norm need 2 MiB each.
    net = warping_net(tmp_path / "warp.onnx", height=256, width=256)
    with pytest.raises(BuildError) as caught:
        build(request(net, tmp_path / "w", workspace_mib=1))
    assert caught.value.code == "V2V-E7207"
    assert "1 MiB" in caught.value.seen


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(warping_net(tmp_path / "warp.onnx").read_bytes()[:-100])
    with pytest.raises(BuildError) as caught:
        build(request(path, tmp_path / "w"))
    assert caught.value.code == "V2V-E7202"


def test_a_capability_that_the_flavour_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        build(request(warping_net(tmp_path / "warp.onnx"), tmp_path / "w", compute_capability="9.0"))
    assert caught.value.code == "V2V-E7205"
    assert "SM89" in caught.value.expected


def test_what_the_builder_cannot_do_is_told_with_its_words(tmp_path: Path) -> None:
    # 8-bit floats have no kernels before compute capability 8.9.
    scale = {"s": np.array(0.1, np.float16), "w": np.eye(32, dtype=np.float16)}
    nodes = [
        node("QuantizeLinear", "x s", "q", output_dtype=TensorProto.FLOAT8E4M3FN),
        node("DequantizeLinear", "q s", "d"),
        node("QuantizeLinear", "w s", "qw", output_dtype=TensorProto.FLOAT8E4M3FN),
        node("DequantizeLinear", "qw s", "dw"),
        node("MatMul", "d dw", "y"),
    ]
    net = save(tmp_path / "fp8.onnx", nodes, [port("x", HALF, 32, 32)], [port("y", HALF, 32, 32)], scale, 21)
    build(request(net, tmp_path / "ada", "rtx4090"))
    with pytest.raises(BuildError) as caught:
        build(request(net, tmp_path / "ampere", "rtx3090"))
    assert caught.value.code == "V2V-E7203"
    assert "FP8" in caught.value.seen.upper()

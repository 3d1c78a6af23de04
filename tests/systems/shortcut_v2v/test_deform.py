from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from golden_data import golden_config, golden_tensors
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor
from torch.nn import functional
from v2v_export.systems.shortcut_v2v.deform import bilinear, deform_conv2d

GOLDEN = golden_config("shortcut_v2v")["deform"]["cases"]

# (n, c, h, w), out channels, kernel, stride, padding, dilation, groups, offset groups, mask, bias
CASES: list[tuple[Any, ...]] = [
    ((1, 8, 12, 16), 8, (3, 3), (1, 1), (1, 1), (1, 1), 1, 1, True, False),
    ((1, 8, 12, 16), 8, (3, 3), (1, 1), (1, 1), (1, 1), 1, 1, False, True),
    ((2, 8, 9, 11), 6, (3, 3), (1, 1), (1, 1), (1, 1), 2, 2, True, True),
    ((2, 8, 9, 11), 6, (3, 3), (1, 1), (1, 1), (1, 1), 2, 2, False, False),
    ((1, 6, 10, 13), 4, (5, 3), (2, 1), (2, 1), (1, 2), 2, 3, True, True),
]


Inputs = tuple[dict[str, Tensor], dict[str, Any]]


def _inputs(case: tuple[Any, ...], dtype: torch.dtype = torch.float32) -> Inputs:
    (n, c, h, w), out, kernel, stride, padding, dilation, groups, offset_groups, has_mask, has_bias = case
    ho, wo = (
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, p, d, k, s in zip((h, w), padding, dilation, kernel, stride, strict=True)
    )
    rng = torch.Generator().manual_seed(5)
    taps = kernel[0] * kernel[1] * offset_groups
    tensors = {
        "x": torch.randn(n, c, h, w, generator=rng, dtype=dtype),
        "weight": torch.randn(out, c // groups, *kernel, generator=rng, dtype=dtype) / 6,
        "offset": 4 * torch.randn(n, 2 * taps, ho, wo, generator=rng, dtype=dtype),
    }
    if has_mask:
        tensors["mask"] = torch.rand(n, taps, ho, wo, generator=rng, dtype=dtype)
    if has_bias:
        tensors["bias"] = torch.randn(out, generator=rng, dtype=dtype)
    attributes = {"stride": stride, "padding": padding, "dilation": dilation}
    return tensors, attributes | {"groups": groups, "offset_groups": offset_groups}


def _onnx_model(tensors: dict[str, Tensor], attributes: dict[str, Any]) -> onnx.ModelProto:
    order = ["x", "weight", "offset", "bias", "mask"]
    node = helper.make_node(
        "DeformConv",
        [name if name in tensors else "" for name in order],
        ["y"],
        kernel_shape=list(tensors["weight"].shape[2:]),
        strides=list(attributes["stride"]),
        pads=[*attributes["padding"], *attributes["padding"]],
        dilations=list(attributes["dilation"]),
        group=attributes["groups"],
        offset_group=attributes["offset_groups"],
    )
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, list(tensor.shape))
        for name, tensor in tensors.items()
    ]
    graph = helper.make_graph(
        [node], "deform", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)


@pytest.mark.parametrize("case", sorted(GOLDEN))
def test_matches_golden_deform(case: str) -> None:
    attributes = GOLDEN[case]
    tensors = golden_tensors("shortcut_v2v", "deform")
    got = deform_conv2d(
        tensors[f"{case}.input"],
        tensors[f"{case}.weight"],
        tensors[f"{case}.offset"],
        tensors[f"{case}.mask"] if attributes["has_mask"] else None,
        tensors[f"{case}.bias"] if attributes["has_bias"] else None,
        stride=tuple(attributes["stride"]),
        padding=tuple(attributes["padding"]),
        dilation=tuple(attributes["dilation"]),
        groups=attributes["groups"],
        offset_groups=attributes["offset_groups"],
    )
    torch.testing.assert_close(got, tensors[f"{case}.output"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("case", CASES)
def test_matches_onnx_runtime(case: tuple[Any, ...]) -> None:
    tensors, attributes = _inputs(case)
    session = onnxruntime.InferenceSession(
        _onnx_model(tensors, attributes).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    wanted = session.run(None, {name: tensor.numpy() for name, tensor in tensors.items()})[0]
    np.testing.assert_allclose(deform_conv2d(**tensors, **attributes).numpy(), wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("case", CASES)
def test_matches_the_onnx_reference_evaluator(case: tuple[Any, ...]) -> None:
    # The evaluator is a Python loop over output channels: the fewest that the groups allow.
    (n, _, h, w), *middle, groups, offset_groups, has_mask, has_bias = case
    few = groups * offset_groups
    case = ((n, few, h, w), groups, *middle[1:], groups, offset_groups, has_mask, has_bias)
    tensors, attributes = _inputs(case)
    evaluator = ReferenceEvaluator(_onnx_model(tensors, attributes))
    wanted = evaluator.run(None, {name: tensor.numpy() for name, tensor in tensors.items()})[0]
    np.testing.assert_allclose(deform_conv2d(**tensors, **attributes).numpy(), wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("case", CASES)
def test_zero_offset_and_full_mask_is_a_convolution(case: tuple[Any, ...]) -> None:
    tensors, attributes = _inputs(case, torch.float64)
    tensors["offset"].zero_()
    if "mask" in tensors:
        tensors["mask"].fill_(1)
    plain = {key: value for key, value in attributes.items() if key != "offset_groups"}
    wanted = functional.conv2d(tensors["x"], tensors["weight"], tensors.get("bias"), **plain)
    torch.testing.assert_close(deform_conv2d(**tensors, **attributes), wanted, rtol=0, atol=1e-12)


def test_gradients_reach_every_argument() -> None:
    case = ((1, 2, 3, 3), 1, (3, 3), (1, 1), (1, 1), (1, 1), 1, 1, True, True)
    tensors, _ = _inputs(case, torch.float64)
    with torch.enable_grad():
        arguments = [tensors[name].requires_grad_() for name in ("x", "weight", "offset", "mask", "bias")]
        assert torch.autograd.gradcheck(lambda *args: deform_conv2d(*args, padding=1), arguments)


def test_borders_count_outside_as_zero() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    rows = torch.tensor([[[-1.0, -0.5, 0.0, 1.5, 2.0, -7.0]]])
    cols = torch.tensor([[[0.0, 0.0, 1.5, 1.0, 0.0, 1.0]]])
    wanted = torch.tensor([[[[0.0, 0.5, 1.0, 2.0, 0.0, 0.0]]]])
    torch.testing.assert_close(bilinear(x, rows, cols), wanted, rtol=0, atol=1e-6)


def test_half_precision_keeps_positions_in_float32() -> None:
    # The last column of 256, half a pixel to the left: half precision cannot name that place in [-1, 1].
    x = torch.arange(256.0).div(256).view(1, 1, 1, 256).half()
    offset = torch.zeros(1, 2, 1, 256, dtype=torch.float16)
    offset[:, 1] = -0.5
    got = deform_conv2d(x, torch.ones(1, 1, 1, 1, dtype=torch.float16), offset)
    assert got.dtype == torch.float16
    assert got[0, 0, 0, -1].item() == pytest.approx(254.5 / 256, abs=1e-3)


@pytest.mark.parametrize("broken", ["offset", "mask", "weight"])
def test_shapes_that_do_not_fit_are_refused(broken: str) -> None:
    tensors, attributes = _inputs(CASES[0])
    tensors[broken] = tensors[broken][:, :-1]
    with pytest.raises(ValueError, match=broken):
        deform_conv2d(**tensors, **attributes)

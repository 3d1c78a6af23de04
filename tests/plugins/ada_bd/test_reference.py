"""The torch references against SciPy, ONNX's own DeformConv, the published code, and each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_data import golden_config, golden_tensors
from plugins.ada_bd.cases import SIZES, evaluate, evaluate_with_onnx, make
from torch.nn import functional
from v2v_plugins.ada_bd.reference import literal, one_product


def tensors(name: str) -> tuple[torch.Tensor, ...]:
    case = make(name)
    return tuple(torch.from_numpy(item) for item in (*case.tensors, case.weight))


@pytest.mark.parametrize("name", SIZES)
def test_literal_is_equation_6(name: str) -> None:
    np.testing.assert_allclose(literal(*tensors(name)), evaluate(make(name)), atol=1e-12)


@pytest.mark.parametrize("name", ["onnx", "smallest"])
def test_literal_is_two_deform_convs_of_onnx(name: str) -> None:
    np.testing.assert_allclose(literal(*tensors(name)), evaluate_with_onnx(make(name)), atol=1e-7)


@pytest.mark.parametrize("name", SIZES)
def test_one_product_is_an_exact_rewrite(name: str) -> None:
    torch.testing.assert_close(one_product(*tensors(name)), literal(*tensors(name)), rtol=0, atol=1e-12)


def test_literal_deforms_as_the_published_code_does() -> None:
    """Without a current frame, AdaBD is the plain modulated deformable convolution."""
    stored = golden_tensors("shortcut_v2v", "deform")
    checked = 0
    for index, case in enumerate(golden_config("shortcut_v2v")["deform"]["cases"]):
        part = {key.split(".")[1]: value for key, value in stored.items() if key.startswith(f"case{index}.")}
        x, weight, offset = part["input"], part["weight"], part["offset"]
        if "mask" not in part or "bias" in part or weight.shape[2:] != (3, 3) or offset.shape[1] != 18:
            continue
        if weight.shape[1] != x.shape[1] or offset.shape[2:] != x.shape[2:]:
            continue
        found = literal(torch.zeros_like(x), x, offset, 1 - part["mask"], weight)
        torch.testing.assert_close(found, part["output"], rtol=1e-5, atol=2e-5, msg=str(case))
        checked += 1
    assert checked >= 2


def test_no_offset_and_equal_features_are_a_convolution() -> None:
    T, _, offset, mask, weight = tensors("random")
    found = one_product(T, T, 0 * offset, mask, weight)
    torch.testing.assert_close(found, functional.conv2d(T, weight, padding=1), rtol=0, atol=1e-12)


def test_half_precision_keeps_positions_and_sums_wide() -> None:
    half = tuple(item.half() for item in tensors("random"))
    wide = literal(*(item.double() for item in half))
    found = one_product(*half)
    assert found.dtype == torch.float16
    assert (found.double() - wide).abs().max() <= 2e-3 * wide.abs().max()

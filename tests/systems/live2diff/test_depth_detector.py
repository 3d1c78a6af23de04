"""The exported form of DPT-Hybrid against transformers' own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import DPTConfig, DPTForDepthEstimation
from v2v_export.systems.live2diff.depth import normalised
from v2v_export.systems.live2diff.depth_configs import DPT_HYBRID
from v2v_export.systems.live2diff.depth_detector import DepthDetector, FoldedConv, check_hybrid
from v2v_export.systems.live2diff.errors import WeightsError


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(3, 3, 64, 64, generator=generator) * 2 - 1


@torch.no_grad()
def test_detector_equals_transformers(model: DPTForDepthEstimation, pictures: Tensor) -> None:
    expected = model(pictures).predicted_depth
    assert float(expected.std()) > 0.05
    seen = DepthDetector(model)(pictures)
    assert seen.shape == (3, 64, 64)
    torch.testing.assert_close(seen, expected, atol=2e-5, rtol=1e-5)


def test_positions_and_class_token_matter(model: DPTForDepthEstimation, pictures: Tensor) -> None:
    detector = DepthDetector(model)
    with torch.no_grad():
        before = detector(pictures)
        detector.positions.zero_()
        without = detector(pictures)
        detector.cls_token.zero_()
        assert float((without - before).abs().max()) > 1e-2
        assert float((detector(pictures) - without).abs().max()) > 1e-3


def test_no_convolution_is_left_to_standardise(model: DPTForDepthEstimation) -> None:
    detector = DepthDetector(model)
    names = {type(module).__name__ for module in detector.modules()}
    assert "WeightStandardizedConv2d" not in names
    assert sum(isinstance(module, FoldedConv) for module in detector.modules()) == 13
    # stem 1; each of three stages one layer: three convolutions and a shortcut


def test_real_configuration_is_the_published_size() -> None:
    with torch.device("meta"):
        model = DPTForDepthEstimation(DPTConfig(**DPT_HYBRID))
    parameters = sum(item.numel() for item in model.parameters())
    # MiDaS lists its dpt_hybrid_384 with 123 M: there the ViT still has its head for 1000 classes.
    unused_head = 768 * 1000 + 1000
    assert round((parameters + unused_head) / 1e6) == 123


def test_other_detectors_are_refused() -> None:
    with pytest.raises(WeightsError, match="V2V-E6272"):
        check_hybrid(DPTConfig(is_hybrid=False))


@pytest.mark.parametrize("value", [0.0, 1.0, 7.25])
def test_constant_depth_is_no_nan(value: float) -> None:
    assert torch.equal(normalised(torch.full((2, 5, 4), value)), torch.full((2, 5, 4), -1.0))


def test_normalisation_is_exact_and_joint() -> None:
    depth = torch.tensor([[[2.0, 4.0]], [[6.0, 10.0]]])
    assert torch.equal(normalised(depth), torch.tensor([[[-1.0, -0.5]], [[0.0, 1.0]]]))


def test_tiny_span_still_reaches_both_ends() -> None:
    depth = torch.tensor([[[1.0, float(np.nextafter(np.float32(1), np.float32(2)))]]])
    assert torch.equal(normalised(depth), torch.tensor([[[-1.0, 1.0]]]))

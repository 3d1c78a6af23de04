"""A narrow depth detector whose every path matters."""

from __future__ import annotations

import pytest
import torch
from transformers import DPTConfig, DPTForDepthEstimation
from v2v_export.systems.live2diff.depth_configs import TINY


@pytest.fixture(scope="session")
def model() -> DPTForDepthEstimation:
    """Positions and class token, zero at construction, are drawn too."""
    generator = torch.Generator().manual_seed(3)
    made = DPTForDepthEstimation(DPTConfig(**TINY)).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.ndim > 1:
                scale = 1.0 if "position" in name or "cls" in name else parameter[0].numel() ** -0.5
                parameter.normal_(0, scale, generator=generator)
            else:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
        made.head.head[4].bias.fill_(0.7)  # above the last ReLU's knee
    return made

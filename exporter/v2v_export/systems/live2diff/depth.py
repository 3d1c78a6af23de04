"""The depth branch: frame -> inverse depth -> picture of it, which the VAE then encodes like a frame.

Method, section 2: bilinear to the detector's square without keeping the aspect; min-max over the whole
tensor, so per frame while streaming and jointly over the eight frames of a warm-up; to [-1, 1]; three equal
channels; bilinear back to the frame's size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from v2v_export.systems.live2diff.depth_detector import DepthDetector


class DepthPicture(nn.Module):
    """Pictures ``[G, 3, H, W]`` in [-1, 1] -> depth pictures of the same shape and range, near is bright.

    The detector decides its own precision; resizing and normalising are float32.

    Args:
        dtype: of the pictures that are handed on.
    """

    def __init__(self, detector: DepthDetector, dtype: torch.dtype) -> None:
        super().__init__()
        self.detector, self.dtype = detector, dtype

    def forward(self, pictures: Tensor) -> Tensor:
        size = pictures.shape[-2:]
        square = functional.interpolate(
            pictures.float(), (self.detector.size, self.detector.size), mode="bilinear", align_corners=False
        )
        depth = self.detector(square)
        grey = normalised(depth).unsqueeze(1)
        wide = functional.interpolate(grey, size, mode="bilinear", align_corners=False)
        return wide.expand(-1, 3, -1, -1).to(pictures.dtype)


def normalised(depth: Tensor) -> Tensor:
    """Min-max over the whole float32 tensor, to [-1, 1]: ``(d - min) / (max - min) * 2 - 1``.

    Exactly that wherever max > min; a constant depth gives -1 everywhere, where the quotient would be 0 / 0.
    """
    # Axes by name: ONNX has no reduction over an unnamed all of them that the exporter finds.
    axes = tuple(range(depth.ndim))
    low, high = depth.amin(axes, keepdim=True), depth.amax(axes, keepdim=True)
    span = high - low
    # Of the span as computed: a device that flushes denormals to zero takes this branch as well.
    safe = torch.where(span > 0, span, torch.ones_like(span))
    return (depth - low) / safe * 2 - 1

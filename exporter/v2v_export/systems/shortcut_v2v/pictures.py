"""Between uint8 pictures and the teacher's tensors, exactly as the published test script does it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from v2v_export.systems.shortcut_v2v.errors import GeometryError


def to_tensor(frame: NDArray[np.uint8], dtype: torch.dtype = torch.float32) -> Tensor:
    """uint8 RGB ``[H, W, 3]`` -> ``[1, 3, H, W]`` in [-1, 1]: ``u8 / 255``, then mean and deviation 0.5.

    Raises:
        GeometryError: V2V-E6015, another shape or dtype.
    """
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        seen = f"{frame.dtype} array {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise GeometryError(
            "V2V-E6015", f"frame: {seen}", "uint8 array [H, W, 3], RGB", "convert the frame before the step"
        )
    # A copy: the array may be read-only or have negative strides, which torch does not take.
    chw = torch.from_numpy(np.array(frame.transpose(2, 0, 1), order="C"))
    return (chw.to(dtype).div(255) - 0.5).div(0.5).unsqueeze(0)


def to_rgb8(picture: Tensor) -> NDArray[np.uint8]:
    """``[3, H, W]`` in [-1, 1] -> uint8 ``[H, W, 3]``: ``(y + 1) / 2 * 255`` truncated, not rounded.

    Truncation is what the published script does when it saves; it makes the picture half a level darker
    on average than rounding would.
    """
    levels = (picture.permute(1, 2, 0) + 1) / 2 * 255
    return levels.to(torch.uint8).contiguous().numpy()


def resize(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Pillow's bicubic resize on 8-bit data, as the published loader does; it antialiases when it shrinks."""
    return np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))

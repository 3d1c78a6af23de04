"""Narrow students, and what the literal stream makes of the same frames."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from v2v_export.system import FrameSize
from v2v_export.systems.std import SYSTEM
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.reference import ReferenceStream
from v2v_export.systems.std.stream import StdModel

SIZE = FrameSize(64, 64)
WEIGHTS = {"base": "random:0"}
CHOSEN: dict[str, Any] = {
    "strength": 0.75,
    "steps": 4,
    "guidance": 4.0,
    "text": "a watercolour",
    "negative_text": "blurry",
    "architecture": "tiny_sdxl",
    "vae": "tiny_taesd",
}
OPTIONS = StdOptions(**CHOSEN)


def model_of() -> StdModel:
    """A model of ``OPTIONS``."""
    model = SYSTEM.load(WEIGHTS, OPTIONS, SIZE)
    assert isinstance(model, StdModel)
    return model


def widened(stream: ReferenceStream) -> ReferenceStream:
    """The same in float64, from the start."""
    made = ReferenceStream(
        copy.deepcopy(stream.unet).double(),
        copy.deepcopy(stream.vae).double(),
        stream.options,
        stream.conditioning,
        stream.noise,
    )
    assert made.noise.dtype == torch.float64
    return made


def levels_apart(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> int:
    return int(np.abs(left.astype(int) - right.astype(int)).max())


def apart(left: Any, right: Any) -> float:
    return float(np.abs(np.asarray(left, np.float64) - np.asarray(right, np.float64)).max())

"""Overwrites tensors with what no graph may read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from v2v_runtime.backends.base import Tensor


def poison(tensors: Iterable[Tensor]) -> None:
    """Floats become NaN, booleans false, and of all else every bit is set."""
    for tensor in tensors:
        if tensor.dtype.kind == "f":
            tensor.write(np.full(tensor.shape, np.nan, tensor.dtype))
        else:
            ones = np.full(tensor.nbytes, 0 if tensor.dtype.kind == "b" else 0xFF, np.uint8)
            tensor.write(ones.view(tensor.dtype).reshape(tensor.shape))

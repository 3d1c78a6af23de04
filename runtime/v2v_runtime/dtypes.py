"""The manifest's tensor types as numpy types."""

from __future__ import annotations

from typing import Any

import numpy as np

from v2v_runtime.manifest.model import DType, TensorSpec

_NUMPY: dict[str, np.dtype[Any]] = {
    name: np.dtype(name) for name in ("bool", "uint8", "int32", "int64", "float16", "float32")
}


def numpy_dtype(dtype: DType, float_type: str) -> np.dtype[Any]:
    """The numpy type of ``dtype`` in a variant that calls ``"float"`` ``float_type``."""
    return _NUMPY[float_type if dtype == "float" else dtype]


def concrete(spec: TensorSpec, float_type: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and shape of a tensor in a variant."""
    return numpy_dtype(spec.dtype, float_type), spec.shape

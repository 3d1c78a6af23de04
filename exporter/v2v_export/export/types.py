"""One table between the manifest's types, torch's, ONNX's and numpy's."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import DTypeLike
from v2v_runtime.manifest.model import DType

Float = Literal["float16", "float32"]


class Kind(NamedTuple):
    """One tensor type in the four vocabularies."""

    torch: torch.dtype
    onnx: ir.DataType
    numpy: DTypeLike


_KINDS: dict[str, Kind] = {
    "bool": Kind(torch.bool, ir.DataType.BOOL, np.bool_),
    "uint8": Kind(torch.uint8, ir.DataType.UINT8, np.uint8),
    "int32": Kind(torch.int32, ir.DataType.INT32, np.int32),
    "int64": Kind(torch.int64, ir.DataType.INT64, np.int64),
    "float16": Kind(torch.float16, ir.DataType.FLOAT16, np.float16),
    "float32": Kind(torch.float32, ir.DataType.FLOAT, np.float32),
}


def kind(dtype: DType, variant_float: Float) -> Kind:
    """What ``dtype`` is in a variant whose ``"float"`` is ``variant_float``."""
    return _KINDS[variant_float if dtype == "float" else dtype]

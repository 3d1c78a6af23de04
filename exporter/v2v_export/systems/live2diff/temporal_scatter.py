"""ONNX's ``TensorScatter`` in PyTorch: a cache with new entries, which engines write where the cache is."""

from __future__ import annotations

import torch
from torch import Tensor

OPSET = 24
"""The first that has it."""


def scattered(cache: Tensor, update: Tensor, index: Tensor) -> Tensor:
    """``cache`` [B, N, entries, D] with ``update`` [B, N, 1, D] at entry ``index`` (int64 [B]).

    In a graph this is one node; TensorRT makes it KV_CACHE_UPDATE where the cache is an input of the graph
    and the result one of its outputs, both at one address.
    """
    if torch.compiler.is_exporting():
        node: Tensor = torch.onnx.ops.symbolic(
            "TensorScatter",
            (cache, update, index),
            attrs={"axis": -2, "mode": "linear"},
            dtype=cache.dtype,
            shape=cache.shape,
            version=OPSET,
        )
        return node
    place = index.reshape(-1, 1, 1, 1).expand_as(update)
    return cache.scatter(2, place, update)

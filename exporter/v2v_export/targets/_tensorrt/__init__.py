"""Parts of the ``tensorrt`` builder. Nothing here imports TensorRT: its module comes in as an argument."""

from __future__ import annotations

"""From a torch module to an ONNX graph: tracing, clean-up passes, weights, taps."""

from __future__ import annotations

"""``v2v::WindowAttention``: one query per row and position on a window of cached tokens (Live2Diff).

A window is eight constant tokens (sinks), eight rolling ones (a ring) and the row's own new token. Keys and
values come without a copy: the caches are read where they lie.

Kernels so far: none. For ONNX Runtime there is no WindowAttention kernel, and it runs the body. For TensorRT
there is a plugin that builds, and that raises when it is run (``trt_plugin.py``); the body's first form is
one generated kernel there. Neither is needed for correctness.
"""

from __future__ import annotations

from v2v_plugins.registry import Op

OP = Op(name="WindowAttention", family="window", package=__name__)

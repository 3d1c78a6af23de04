"""``v2v::AdaBD``: adaptive blending and deformation, the sampling core of Shortcut-V2V (equations 5 and 6).

``Y = DC(T; W, 0, m) + DC(F_star; W, offset, 1 - m)``: a 3x3 convolution whose every tap mixes the current
frame's feature, where it stands, with the reference's feature, moved.

Kernels so far: none. For ONNX Runtime there is no AdaBD kernel, and it runs the body. For TensorRT there is a
plugin that builds, and that raises when it is run (``trt_plugin.py``). Neither is needed for correctness.
"""

from __future__ import annotations

from v2v_plugins.registry import Op

OP = Op(name="AdaBD", family="deform", package=__name__)

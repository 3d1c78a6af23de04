"""The ONNX schema of ``v2v::AdaBD``.

Every float type is declared: a library that knows only float32 makes a float16 model invalid even where the
body would run it.
"""

from __future__ import annotations

from onnx import defs

from v2v_plugins.registry import DOMAIN, VERSION

DOC = """
Adaptive blending and deformation (Shortcut-V2V, equation 6):

    Y = DC(T; weight, 0, mask) + DC(F_star; weight, offset, 1 - mask)

with DC the modulated deformable convolution: 3x3, stride 1, padding 1, one offset group, no bias. For output
pixel (i, j) and tap k = 3 u + v:

    column_k = mask_k * T(i + u - 1, j + v - 1)
             + (1 - mask_k) * F_star(i + u - 1 + offset_2k, j + v - 1 + offset_2k+1)

where F_star is read bilinearly, and a corner outside the picture counts as zero, for T and F_star alike.
H and W are at least 2. A NaN in an offset makes its sample zero or the output NaN, nothing else.
""".strip()

FLOATS = ["tensor(float)", "tensor(float16)", "tensor(bfloat16)", "tensor(double)"]

_Parameter = defs.OpSchema.FormalParameter

SCHEMA = defs.OpSchema(
    "AdaBD",
    DOMAIN,
    VERSION,
    doc=DOC,
    inputs=[
        _Parameter("T", "T", "Reduced feature of the current frame, [N, h, H, W]."),
        _Parameter("F_star", "T", "Globally aligned reference feature, [N, h, H, W]."),
        _Parameter("offset", "P", "Pixels, [N, 18, H, W]: (dy, dx) of each tap, taps row by row."),
        _Parameter("mask", "T", "The current frame's share of each tap in 0..1, [N, 9, H, W]."),
        _Parameter("weight", "T", "The kernel that both sums share, [o, h, 3, 3]."),
    ],
    outputs=[_Parameter("Y", "T", "[N, o, H, W].")],
    type_constraints=[
        ("T", FLOATS, "Features, mask and weight."),
        ("P", FLOATS, "Positions, which may be wider than the features."),
    ],
)

"""The ONNX schema of ``v2v::WindowAttention``."""

from __future__ import annotations

from onnx import defs

from v2v_plugins.registry import DOMAIN, VERSION

DOC = """
Attention of one query per row t, position p and head on 17 tokens: eight sinks, eight ring entries, its own.

    K_j = sinks[t, j, p, 0]                  V_j = sinks[t, j, p, 1]                  j < 8
    K_8+i = ring[i, t, p, 0] + moves[i, t, 0]    V_8+i = ring[i, t, p, 1] + moves[i, t, 1]    i < 8
    K_16 = own[t, p, 0] + moves[8, t, 0]     V_16 = own[t, p, 1] + moves[8, t, 1]
    Y = sum_j softmax_j(query . K_j) V_j

over the tokens that the row attends: all sinks, and of the others those whose ``opened`` is true. A closed
ring entry may hold anything, NaN too. Products have the tensors' type, sums and softmax are float32.
Where the row attends its own token and K_16 holds a NaN or an infinity, Y is NaN: the token goes into a cache
next, and a score of minus infinity would hide it until a later query meets it. Y may be NaN as well where
K_16 is finite and its score is not, a product being past the tensors' type.
""".strip()

FLOATS = ["tensor(float)", "tensor(float16)", "tensor(bfloat16)", "tensor(double)"]

_Parameter = defs.OpSchema.FormalParameter

SCHEMA = defs.OpSchema(
    "WindowAttention",
    DOMAIN,
    VERSION,
    doc=DOC,
    inputs=[
        _Parameter("query", "T", "Scaled already, [T, P, heads, d]."),
        _Parameter("own", "T", "Key and value of the row's new token, [T, P, 2, heads, d]."),
        _Parameter("sinks", "T", "[T, 8, P, 2, heads, d]."),
        _Parameter("ring", "T", "[8, T, P, 2, heads, d]."),
        _Parameter(
            "moves", "T", "What positions add to ring entries and the own token, [9, T, 2, heads, d]."
        ),
        _Parameter("opened", "B", "Whether the row attends ring entry i, or, last, its own token; [9, T]."),
    ],
    outputs=[_Parameter("Y", "T", "[T, P, heads, d].")],
    type_constraints=[
        ("T", FLOATS, "Query, caches and moves."),
        ("B", ["tensor(bool)"], "Flags."),
    ],
)

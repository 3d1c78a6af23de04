"""Portable ONNX bodies of ``v2v::WindowAttention``, in ONNX's text format.

Each reads every size but the two eights from its inputs.

``unrolled``
    Token by token: a dot product each, their largest, a weighted sum. Every reduction then runs over one
    head's channels, which TensorRT for RTX makes one kernel that reads each key and value once and keeps no
    score in memory.
``stacked``
    The same with all entries of a cache in one operator: few nodes, and five kernels where ``unrolled`` has
    one. For small features on CPUs.
``matmul``
    Keys and values gathered into one tensor [T, P, heads, 17, d], then MatMul, Softmax, MatMul, which engines
    fuse into an attention kernel. The gathered copies are as large as the caches.
"""

from __future__ import annotations

from v2v_plugins.registry import Lowering

ENTRIES = 8
"""Sinks, and entries of a ring."""

_CONSTANTS = """
  minus_inf = Constant <value = float {-inf}> ()
  nan_f = Constant <value = float {nan}> ()
  largest = Constant <value = float {3.4028234663852886e38}> ()
  zero_f = Constant <value = float {0}> ()
  zero = CastLike (zero_f, query)
  axis0 = Constant <value_ints = [0]> ()
  axis1 = Constant <value_ints = [1]> ()
  axis_last = Constant <value_ints = [-1]> ()
"""


def _part(name: str, source: str, axes: list[int], starts: list[int]) -> str:
    """``name``: one entry of ``source`` along each of ``axes`` (ascending), which are gone.

    Gathered, not sliced and squeezed: TensorRT for RTX makes the same kernels of both, in two thirds of the
    time.
    """
    text, cut = [], source
    for axis, start in reversed(list(zip(axes, starts, strict=True))):
        made = name if axis == axes[0] else f"{name}_of_{axis}"
        text.append(f"  {made}_index = Constant <value_int = {start}> ()\n")
        text.append(f"  {made} = Gather <axis = {axis}> ({cut}, {made}_index)\n")
        cut = made
    return "\n" + "".join(text)


def _finite(name: str, looked_at: str, chosen: str, nan: str) -> str:
    """``name``: ``chosen`` where the float32 ``looked_at`` is finite, else NaN; also where that is NaN."""
    return f"""
  {name}_size = Abs ({looked_at})
  {name}_fits = LessOrEqual ({name}_size, largest)
  {name} = Where ({name}_fits, {chosen}, {nan})
"""


def _score(name: str, key: str) -> str:
    return f"""
  {name}_products = Mul (query, {key})
  {name}_wide = Cast <to = 1> ({name}_products)
  {name} = ReduceSum <keepdims = 1> ({name}_wide, axis_last)
"""


def _unrolled() -> str:
    text = [_CONSTANTS, "  flag_axes = Constant <value_ints = [1, 2, 3]> ()\n"]
    text.append("  moves_axis = Constant <value_ints = [2]> ()\n  moved = Unsqueeze (moves, moves_axis)\n")
    for entry in range(ENTRIES):
        text.append(_part(f"k{entry}", "sinks", [1, 3], [entry, 0]) + _score(f"s{entry}", f"k{entry}"))
        text.append(_part(f"v{entry}", "sinks", [1, 3], [entry, 1]))
    for entry in range(ENTRIES + 1):
        index, own = ENTRIES + entry, entry == ENTRIES
        for which, name in enumerate("kv"):
            source = ("own", [2], [which]) if own else ("ring", [0, 3], [entry, which])
            text.append(_part(f"{name}{index}_raw", *source))
            text.append(_part(f"{name}{index}_move", "moved", [0, 3], [entry, which]))
        text.append(_part(f"o{index}_row", "opened", [0], [entry]))
        text.append(f"  o{index} = Unsqueeze (o{index}_row, flag_axes)\n")
        text.append(
            f"  k{index} = Add (k{index}_raw, k{index}_move)\n" + _score(f"s{index}_any", f"k{index}")
        )
        if own:
            # With an infinity in the key, whatever its signs, the score is infinite or NaN.
            text.append(_finite(f"s{index}_seen", f"s{index}_any", f"s{index}_any", "nan_f"))
        text.append(f"  s{index} = Where (o{index}, s{index}_{'seen' if own else 'any'}, minus_inf)\n")
        text.append(f"  v{index}_any = Add (v{index}_raw, v{index}_move)\n")
        # The own token is of this step and finite: a weight of zero is enough there.
        text.append(
            f"  v{index} = Identity (v{index}_any)\n"
            if own
            else f"  v{index} = Where (o{index}, v{index}_any, zero)\n"
        )
    last = 2 * ENTRIES
    text.append("  m0 = Identity (s0)\n")
    text += [f"  m{j} = Max (m{j - 1}, s{j})\n" for j in range(1, last + 1)]
    for j in range(last + 1):
        text.append(f"  a{j} = Sub (s{j}, m{last})\n  e{j} = Exp (a{j})\n")
        text.append(f"  w{j} = Cast <to = 1> (v{j})\n  x{j} = Mul (e{j}, w{j})\n")
    text.append("  d0 = Identity (e0)\n  y0 = Identity (x0)\n")
    text += [f"  d{j} = Add (d{j - 1}, e{j})\n  y{j} = Add (y{j - 1}, x{j})\n" for j in range(1, last + 1)]
    text.append(f"  Y_wide = Div (y{last}, d{last})\n  Y = CastLike (Y_wide, query)\n")
    return "".join(text)


# Caches split into keys and values, moved: k_s, v_s [T, 8, P, heads, d]; k_r, v_r [8, T, P, heads, d];
# k_o, v_o [1, T, P, heads, d]; open_r [8, T, 1, 1, 1], open_o [1, T, 1, 1, 1].
_SPLIT = (
    _CONSTANTS
    + _part("k_s", "sinks", [3], [0])
    + _part("v_s", "sinks", [3], [1])
    + _part("k_r_raw", "ring", [3], [0])
    + _part("v_r_raw", "ring", [3], [1])
    + _part("k_o_raw", "own", [2], [0])
    + _part("v_o_raw", "own", [2], [1])
    + """
  moves_axis = Constant <value_ints = [2]> ()
  moved = Unsqueeze (moves, moves_axis)
  entries = Constant <value_ints = [8, 1]> ()
"""
    + _part("k_move", "moved", [3], [0])
    + _part("v_move", "moved", [3], [1])
    + """
  k_move_r, k_move_o = Split <axis = 0> (k_move, entries)
  v_move_r, v_move_o = Split <axis = 0> (v_move, entries)
  flag_axes = Constant <value_ints = [2, 3, 4]> ()
  open_all = Unsqueeze (opened, flag_axes)
  open_r, open_o = Split <axis = 0> (open_all, entries)
  k_r_any = Add (k_r_raw, k_move_r)
  v_r_any = Add (v_r_raw, v_move_r)
  k_r = Where (open_r, k_r_any, zero)
  v_r = Where (open_r, v_r_any, zero)
  k_o_all = Unsqueeze (k_o_raw, axis0)
  v_o_all = Unsqueeze (v_o_raw, axis0)
  k_o = Add (k_o_all, k_move_o)
  v_o = Add (v_o_all, v_move_o)
"""
)

_STACKED = (
    _SPLIT
    + """
  q_s = Unsqueeze (query, axis1)
  q_r = Unsqueeze (query, axis0)
  p_s = Mul (q_s, k_s)
  p_r = Mul (q_r, k_r)
  p_o = Mul (q_r, k_o)
  p_s_wide = Cast <to = 1> (p_s)
  p_r_wide = Cast <to = 1> (p_r)
  p_o_wide = Cast <to = 1> (p_o)
  s_s_rows = ReduceSum <keepdims = 1> (p_s_wide, axis_last)
  s_r_any = ReduceSum <keepdims = 1> (p_r_wide, axis_last)
  s_o_any = ReduceSum <keepdims = 1> (p_o_wide, axis_last)
"""
    + _finite("s_o_seen", "s_o_any", "s_o_any", "nan_f")
    + """
  s_s = Transpose <perm = [1, 0, 2, 3, 4]> (s_s_rows)
  s_r = Where (open_r, s_r_any, minus_inf)
  s_o = Where (open_o, s_o_seen, minus_inf)
  s = Concat <axis = 0> (s_s, s_r, s_o)
  m = ReduceMax <keepdims = 1> (s, axis0)
  below = Sub (s, m)
  e = Exp (below)
  whole = ReduceSum <keepdims = 0> (e, axis0)
  parts = Constant <value_ints = [8, 8, 1]> ()
  e_s_first, e_r, e_o_all = Split <axis = 0> (e, parts)
  e_s = Transpose <perm = [1, 0, 2, 3, 4]> (e_s_first)
  v_s_wide = Cast <to = 1> (v_s)
  v_r_wide = Cast <to = 1> (v_r)
  v_o_wide = Cast <to = 1> (v_o)
  x_s_all = Mul (e_s, v_s_wide)
  x_r_all = Mul (e_r, v_r_wide)
  x_o_all = Mul (e_o_all, v_o_wide)
  x_s = ReduceSum <keepdims = 0> (x_s_all, axis1)
  x_r = ReduceSum <keepdims = 0> (x_r_all, axis0)
  x_o = Squeeze (x_o_all, axis0)
  x_c = Add (x_s, x_r)
  x = Add (x_c, x_o)
  Y_wide = Div (x, whole)
  Y = CastLike (Y_wide, query)
"""
)

_MATMUL = (
    _SPLIT
    + """
  nan_t = CastLike (nan_f, query)
  k_o_wide = Cast <to = 1> (k_o)
"""
    # Of the key, element by element: a fused attention has no scores to look at.
    + _finite("k_o_whole", "k_o_wide", "k_o", "nan_t")
    + """
  k_o_seen = Where (open_o, k_o_whole, zero)
  k_s_p = Transpose <perm = [0, 2, 3, 1, 4]> (k_s)
  k_r_p = Transpose <perm = [1, 2, 3, 0, 4]> (k_r)
  k_o_p = Transpose <perm = [1, 2, 3, 0, 4]> (k_o_seen)
  v_s_p = Transpose <perm = [0, 2, 3, 1, 4]> (v_s)
  v_r_p = Transpose <perm = [1, 2, 3, 0, 4]> (v_r)
  v_o_p = Transpose <perm = [1, 2, 3, 0, 4]> (v_o)
  K = Concat <axis = 3> (k_s_p, k_r_p, k_o_p)
  V = Concat <axis = 3> (v_s_p, v_r_p, v_o_p)
  q_axis = Constant <value_ints = [3]> ()
  q = Unsqueeze (query, q_axis)
  K_t = Transpose <perm = [0, 1, 2, 4, 3]> (K)
  s = MatMul (q, K_t)
  closed = Where (open_all, zero, floor_t)
  open_p = Transpose <perm = [1, 2, 3, 4, 0]> (closed)
  open_shape = Shape (open_p)
  sinks_open_all = Expand (zero, open_shape)
  eight = Constant <value_ints = [8]> ()
  sinks_open = Slice (sinks_open_all, axis0, eight, axis_last)
  bias = Concat <axis = 4> (sinks_open, open_p)
  s_b = Add (s, bias)
  p = Softmax <axis = -1> (s_b)
  Y_one = MatMul (p, V)
  Y = Squeeze (Y_one, q_axis)
"""
).replace(
    "  q_axis =",
    "  floor_f = Constant <value = float {-inf}> ()\n  floor_t = CastLike (floor_f, query)\n  q_axis =",
)

LOWERINGS = {
    "unrolled": Lowering(_unrolled(), 15, 26, "CastLike is of opset 15", "any backend"),
    "stacked": Lowering(
        _STACKED, 18, 26, "ReduceMax takes its axes as an input from opset 18 on", "few nodes"
    ),
    "matmul": Lowering(_MATMUL, 15, 26, "CastLike is of opset 15", "any backend"),
}

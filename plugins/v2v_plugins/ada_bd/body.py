"""Portable ONNX bodies of ``v2v::AdaBD``, in ONNX's text format.

Four forms of the same function; each reads every size from its inputs, so that one body serves every node.

``gather``
    Pixels as rows of channels, five rows per tap: the four corners of the moved sample and the current
    pixel. No padding and no validity masks: a corner's weight is the hat ``max(0, 1 - |distance|)`` around a
    corner pair that is clamped into the picture, which is bilinear inside, right at the edge, and zero
    outside. TensorRT for RTX makes it one generated kernel and one product.
``gridsample``
    All taps stacked on the rows of one GridSample, then one product.
``deformconv``
    Both sums as one DeformConv of 2h channels with two offset groups. ONNX Runtime only.
``scan``
    ``gather``, one picture row at a time, so that the rows never leave the cache. For CPUs.

Positions, and what is weighted by them, are float32 whatever the tensors are.
"""

from __future__ import annotations

from v2v_plugins.registry import Lowering

_SIZES = """
  axis0 = Constant <value_ints = [0]> ()
  axis1 = Constant <value_ints = [1]> ()
  axis2 = Constant <value_ints = [2]> ()
  any = Constant <value_ints = [-1]> ()
  N = Shape <start = 0, end = 1> (F_star)
  h = Shape <start = 1, end = 2> (F_star)
  H = Shape <start = 2, end = 3> (F_star)
  W = Shape <start = 3, end = 4> (F_star)
  o = Shape <start = 0, end = 1> (weight)
  f1 = Constant <value_float = 1.0> ()
"""

# y, x: [N, 9, H, W], where each tap of each pixel reads F_star; tap_y, tap_x: [9, H, W], where it stands.
_POSITIONS = """
  i0 = Constant <value_int = 0> ()
  i1 = Constant <value_int = 1> ()
  H_0 = Squeeze (H, axis0)
  W_0 = Squeeze (W, axis0)
  row_i = Range (i0, H_0, i1)
  col_i = Range (i0, W_0, i1)
  row_f = Cast <to = 1> (row_i)
  row = Unsqueeze (row_f, axis1)
  col = Cast <to = 1> (col_i)
  u = Constant <value = float[9, 1, 1] {-1, -1, -1, 0, 0, 0, 1, 1, 1}> ()
  v = Constant <value = float[9, 1, 1] {-1, 0, 1, -1, 0, 1, -1, 0, 1}> ()
  tap_y = Add (row, u)
  tap_x = Add (col, v)
  offset_end = Constant <value_ints = [18]> ()
  step = Constant <value_ints = [2]> ()
  dy_t = Slice (offset, axis0, offset_end, axis1, step)
  dx_t = Slice (offset, axis1, offset_end, axis1, step)
  dy = Cast <to = 1> (dy_t)
  dx = Cast <to = 1> (dx_t)
  y = Add (dy, tap_y)
  x = Add (dx, tap_x)
"""

# w00..w11 [N, 9, H, W]: weights of the corners (y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1), times
# 1 - m; wT: the current pixel's. r00..r11, rT: their rows, int32, in F_star's pixels followed by T's.
_CORNERS = """
  f0 = Constant <value_float = 0.0> ()
  m = Cast <to = 1> (mask)
  n2 = Constant <value_int = 2> ()
  y_last_i = Sub (H_0, n2)
  x_last_i = Sub (W_0, n2)
  y_last = Cast <to = 1> (y_last_i)
  x_last = Cast <to = 1> (x_last_i)
  y_floor = Floor (y)
  x_floor = Floor (x)
  y_low = Max (y_floor, f0)
  x_low = Max (x_floor, f0)
  y0 = Min (y_low, y_last)
  x0 = Min (x_low, x_last)
  ay = Sub (y, y0)
  ax = Sub (x, x0)
  by = Sub (ay, f1)
  bx = Sub (ax, f1)
  ay_abs = Abs (ay)
  ax_abs = Abs (ax)
  by_abs = Abs (by)
  bx_abs = Abs (bx)
  ay_hat = Sub (f1, ay_abs)
  ax_hat = Sub (f1, ax_abs)
  by_hat = Sub (f1, by_abs)
  bx_hat = Sub (f1, bx_abs)
  wy0 = Max (ay_hat, f0)
  wx0 = Max (ax_hat, f0)
  wy1 = Max (by_hat, f0)
  wx1 = Max (bx_hat, f0)
  m_ref = Sub (f1, m)
  my0 = Mul (wy0, m_ref)
  my1 = Mul (wy1, m_ref)
  w00 = Mul (my0, wx0)
  w01 = Mul (my0, wx1)
  w10 = Mul (my1, wx0)
  w11 = Mul (my1, wx1)

  # A NaN has no integer: the clamp keeps its row inside the tensor, and its weight stays NaN.
  zero_32 = Constant <value = int32 {0}> ()
  one_32 = Constant <value = int32 {1}> ()
  y0_32 = Cast <to = 6> (y0)
  x0_32 = Cast <to = 6> (x0)
  y0_in = Max (y0_32, zero_32)
  x0_in = Max (x0_32, zero_32)
  W_32 = Cast <to = 6> (W)
  N_0 = Squeeze (N, axis0)
  image_i = Range (i0, N_0, i1)
  image_axes = Constant <value_ints = [1, 2, 3]> ()
  image = Unsqueeze (image_i, image_axes)
  pixels = Mul (H, W)
  first_i = Mul (image, pixels)
  first = Cast <to = 6> (first_i)
  y0_row = Mul (y0_in, W_32)
  r_in = Add (y0_row, x0_in)
  r00 = Add (r_in, first)
  r01 = Add (r00, one_32)
  r10 = Add (r00, W_32)
  r11 = Add (r10, one_32)

  H_last_i = Sub (H_0, i1)
  W_last_i = Sub (W_0, i1)
  H_last = Cast <to = 1> (H_last_i)
  W_last = Cast <to = 1> (W_last_i)
  ty_low = Max (tap_y, f0)
  tx_low = Max (tap_x, f0)
  ty = Min (ty_low, H_last)
  tx = Min (tx_low, W_last)
  ty_inside = Equal (ty, tap_y)
  tx_inside = Equal (tx, tap_x)
  inside_b = And (ty_inside, tx_inside)
  inside = Cast <to = 1> (inside_b)
  wT = Mul (m, inside)
  ty_32 = Cast <to = 6> (ty)
  tx_32 = Cast <to = 6> (tx)
  ty_row = Mul (ty_32, W_32)
  t_in = Add (ty_row, tx_32)
  T_start_i = Mul (N, pixels)
  T_start = Cast <to = 6> (T_start_i)
  T_first = Add (first, T_start)
  rT = Add (t_in, T_first)

  # [N, 45, H*W] -> [N, H*W, 45]: five rows per tap, taps side by side.
  w00_ = Unsqueeze (w00, axis2)
  w01_ = Unsqueeze (w01, axis2)
  w10_ = Unsqueeze (w10, axis2)
  w11_ = Unsqueeze (w11, axis2)
  wT_ = Unsqueeze (wT, axis2)
  r00_ = Unsqueeze (r00, axis2)
  r01_ = Unsqueeze (r01, axis2)
  r10_ = Unsqueeze (r10, axis2)
  r11_ = Unsqueeze (r11, axis2)
  rT_ = Unsqueeze (rT, axis2)
  w_planes = Concat <axis = 2> (w00_, w01_, w10_, w11_, wT_)
  r_planes = Concat <axis = 2> (r00_, r01_, r10_, r11_, rT_)
  planes = Constant <value_ints = [0, 45, -1]> ()
  w_flat = Reshape (w_planes, planes)
  r_flat = Reshape (r_planes, planes)
  w_pixels = Transpose <perm = [0, 2, 1]> (w_flat)
  r_pixels = Transpose <perm = [0, 2, 1]> (r_flat)
"""

# source [2N*H*W, h]: pixels as rows, F_star's then T's; kernel [9*h, o], taps outermost.
_ROWS = """
  both = Concat <axis = 0> ({reference}, {current})
  both_last = Transpose <perm = [0, 2, 3, 1]> (both)
  source_shape = Concat <axis = 0> (any, h)
  source = Reshape (both_last, source_shape)
  kernel_4d = Transpose <perm = [2, 3, 1, 0]> ({kernel})
  kernel_shape = Concat <axis = 0> (any, o)
  kernel = Reshape (kernel_4d, kernel_shape)
"""

_GATHER = (
    _SIZES
    + _POSITIONS
    + _CORNERS
    + _ROWS.format(reference="F_star", current="T", kernel="weight")
    + """
  # A sum of products, not a product of matrices: TensorRT fuses it with the rows' reads.
  w_shape = Constant <value_ints = [0, -1, 9, 5, 1]> ()
  r_shape = Constant <value_ints = [0, -1, 9, 5]> ()
  w_5 = Reshape (w_pixels, w_shape)
  r_5 = Reshape (r_pixels, r_shape)
  rows_t = Gather <axis = 0> (source, r_5)
  rows = Cast <to = 1> (rows_t)
  weighted = Mul (rows, w_5)
  corner_axis = Constant <value_ints = [3]> ()
  mixed = ReduceSum <keepdims = 0> (weighted, corner_axis)
  mixed_t = CastLike (mixed, F_star)
  columns_shape = Constant <value_ints = [0, 0, -1]> ()
  columns = Reshape (mixed_t, columns_shape)
  Y_rows = MatMul (columns, kernel)
  Y_flat = Transpose <perm = [0, 2, 1]> (Y_rows)
  Y_shape = Concat <axis = 0> (N, o, H, W)
  Y = Reshape (Y_flat, Y_shape)
"""
)

_SCAN = (
    _SIZES
    + _POSITIONS
    + _CORNERS
    + """
  T_f = Cast <to = 1> (T)
  F_f = Cast <to = 1> (F_star)
  weight_f = Cast <to = 1> (weight)
"""
    + _ROWS.format(reference="F_f", current="T_f", kernel="weight_f")
    + """
  # Three taps share one small product [3, 15] x [15, h], block by block: its cost is the call, not the sums.
  block = Constant <value = float[3, 15] {
    1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1}> ()
  w_tail = Constant <value_ints = [3, 1, 15]> ()
  r_tail = Constant <value_ints = [3, 15]> ()
  w_shape = Concat <axis = 0> (any, W, w_tail)
  r_shape = Concat <axis = 0> (any, W, r_tail)
  w_lines = Reshape (w_pixels, w_shape)
  r_lines = Reshape (r_pixels, r_shape)
  columns_shape = Constant <value_ints = [0, -1]> ()
  Y_lines = Scan <num_scan_inputs = 2, body = line
    (int32[pixels, groups, rows] r_line, float[pixels, groups, one, rows] w_line)
    => (float[pixels, channels] Y_line) {
      rows = Gather <axis = 0> (source, r_line)
      weights = Mul (w_line, block)
      mixed = MatMul (weights, rows)
      columns = Reshape (mixed, columns_shape)
      Y_line = MatMul (columns, kernel)
    }> (r_lines, w_lines)
  Y_rows_shape = Concat <axis = 0> (N, any, o)
  Y_rows = Reshape (Y_lines, Y_rows_shape)
  Y_flat = Transpose <perm = [0, 2, 1]> (Y_rows)
  Y_shape = Concat <axis = 0> (N, o, H, W)
  Y_f = Reshape (Y_flat, Y_shape)
  Y = CastLike (Y_f, F_star)
"""
)


def _still_taps() -> str:
    """``still`` [N, h, 9, H, W]: T at each tap's place, nine slices of T in a ring of zeros."""
    lines = ["  ring = Constant <value_ints = [0, 0, 1, 1, 0, 0, 1, 1]> ()", "  T_ring = Pad (T, ring)"]
    lines.append("  picture_axes = Constant <value_ints = [2, 3]> ()")
    for tap in range(9):
        u, v = divmod(tap, 3)
        lines.append(f"  from{tap} = Constant <value_ints = [{u}, {v}]> ()")
        lines.append(f"  size{tap} = Concat <axis = 0> (H, W)")
        lines.append(f"  to{tap} = Add (from{tap}, size{tap})")
        lines.append(f"  slice{tap} = Slice (T_ring, from{tap}, to{tap}, picture_axes)")
        lines.append(f"  still{tap} = Unsqueeze (slice{tap}, axis2)")
    lines.append(f"  still = Concat <axis = 2> ({', '.join(f'still{tap}' for tap in range(9))})\n")
    return "\n".join(lines)


_GRIDSAMPLE = (
    _SIZES
    + _POSITIONS
    + """
  # Kept within two pixels of the picture, where all is zero already: GridSample kernels turn positions into
  # integers, and one that is huge or infinite would wrap around into the picture.
  f2 = Constant <value_float = 2.0> ()
  far = Constant <value_float = -2.0> ()
  H_f = Cast <to = 1> (H)
  W_f = Cast <to = 1> (W)
  H_far = Add (H_f, f1)
  W_far = Add (W_f, f1)
  y_low = Max (y, far)
  x_low = Max (x, far)
  y_near = Min (y_low, H_far)
  x_near = Min (x_low, W_far)

  # align_corners = 0: g = (2 c + 1) / size - 1, exact for sizes that are powers of two.
  y_2 = Mul (y_near, f2)
  x_2 = Mul (x_near, f2)
  y_21 = Add (y_2, f1)
  x_21 = Add (x_2, f1)
  y_unit = Div (y_21, H_f)
  x_unit = Div (x_21, W_f)
  gy = Sub (y_unit, f1)
  gx = Sub (x_unit, f1)
  gy_ = Unsqueeze (gy, any)
  gx_ = Unsqueeze (gx, any)
  grid_5d = Concat <axis = -1> (gx_, gy_)
  images_lines = Constant <value_ints = [0, -1]> ()
  grid_shape = Concat <axis = 0> (images_lines, W, step)
  grid = Reshape (grid_5d, grid_shape)
  # One type for picture and grid: half-precision positions would be an eighth of a pixel off.
  F_f = Cast <to = 1> (F_star)
  sampled_f = GridSample <mode = "bilinear", padding_mode = "zeros", align_corners = 0> (F_f, grid)
  sampled_t = CastLike (sampled_f, F_star)
  nine = Constant <value_ints = [9]> ()
  taps_shape = Concat <axis = 0> (axis0, h, nine, H, W)
  moved = Reshape (sampled_t, taps_shape)
"""
    + _still_taps()
    + """
  apart = Sub (still, moved)
  m_taps = Unsqueeze (mask, axis1)
  share = Mul (apart, m_taps)
  mixed = Add (moved, share)
  columns_9 = Mul (h, nine)
  columns_shape = Concat <axis = 0> (axis0, columns_9, any)
  columns = Reshape (mixed, columns_shape)
  kernel_shape = Constant <value_ints = [0, -1]> ()
  kernel = Reshape (weight, kernel_shape)
  Y_flat = MatMul (kernel, columns)
  Y_shape = Concat <axis = 0> (N, o, H, W)
  Y = Reshape (Y_flat, Y_shape)
"""
)

_DEFORMCONV = """
  f1 = Constant <value_float = 1.0> ()
  T_f = Cast <to = 1> (T)
  F_f = Cast <to = 1> (F_star)
  m = Cast <to = 1> (mask)
  weight_f = Cast <to = 1> (weight)
  moves = Cast <to = 1> (offset)
  m_ref = Sub (f1, m)
  offset_shape = Shape (offset)
  still = ConstantOfShape (offset_shape)
  both = Concat <axis = 1> (T_f, F_f)
  offsets = Concat <axis = 1> (still, moves)
  masks = Concat <axis = 1> (m, m_ref)
  kernel = Concat <axis = 1> (weight_f, weight_f)
  Y_f = DeformConv <kernel_shape = [3, 3], pads = [1, 1, 1, 1], offset_group = 2>
    (both, kernel, offsets, , masks)
  Y = CastLike (Y_f, F_star)
"""

LOWERINGS = {
    "gather": Lowering(_GATHER, 15, 26, "Shape with start and end is of opset 15", "any backend; GPUs"),
    "gridsample": Lowering(
        _GRIDSAMPLE,
        16,
        19,
        "GridSample-16 is asked for: GridSample-20 gave silently wrong numbers in releases of TensorRT",
        "any backend",
    ),
    "deformconv": Lowering(_DEFORMCONV, 19, 26, "DeformConv is of opset 19", "ONNX Runtime 1.25 or later"),
    "scan": Lowering(_SCAN, 16, 26, "Scan-16 takes every float type", "ONNX Runtime on a CPU"),
}

"""Pieces of ONNX text that graphs of several programs share. Each is a run of lines for a graph's body.

The graph declares the constants that they read: ``flat`` (the shape [frames, 24]), ``m`` (the modulus),
``bad`` and ``zero`` (floats), ``i0`` and ``i1`` (int64 [1]).
"""

from __future__ import annotations


def feature(source: str, times: str, plus: str, made: str) -> str:
    """``made`` = (``times`` * ``source`` + ``plus``) mod m; NaN where the first of ``source`` is ``bad``."""
    return f"""
  first = Slice({source}, i0, i1, i1)
  gap = Sub(bad, first)
  nan = Div(zero, gap)
  scaled = Mul({source}, {times})
  shifted = Add(scaled, {plus})
  wrapped = Mod<fmod = 1>(shifted, m)
  {made} = Add(wrapped, nan)"""


def opening(frames: str, times: str, plus: str, made: str) -> str:
    """``x`` = ``frames`` uint8 as float rows of 24, and ``made``, their ``feature``."""
    return f"""
  wide = Cast<to = 1>({frames})
  x = Reshape(wide, flat){feature("x", times, plus, made)}"""


def finite(value: str) -> str:
    """``ok`` bool [1]: whether ``value`` holds no NaN."""
    return f"""
  total = ReduceSum<keepdims = 0>({value})
  flag = IsNaN(total)
  flag1 = Reshape(flag, i1)
  ok = Not(flag1)"""

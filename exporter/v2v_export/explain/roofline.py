"""The least time that a profile's figures allow a graph: its multiply-adds, or its bytes, whichever is more.

A bound, never a forecast: real engines reach a part of it, and which part is what ``bench`` measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from v2v_export.explain.flops import Macs
from v2v_export.explain.traffic import Traffic
from v2v_export.profiles import Profile


@dataclass(frozen=True)
class Roofline:
    """Times of one run, in milliseconds.

    Attributes:
        compute: multiply-adds at the profile's peak; float16 at its fastest rate (float16 accumulation).
        compute_fp32acc: the same with float16 products summed in float32, as most kernels do.
        memory: inputs, outputs and weights once at the profile's bandwidth.
        memory_unfused: every node's tensors at the profile's bandwidth.
    """

    compute: float
    compute_fp32acc: float
    memory: float
    memory_unfused: float

    @property
    def best(self) -> float:
        """No engine is faster than this."""
        return max(self.compute, self.memory)

    @property
    def unfused(self) -> float:
        """The bound for a backend that fuses nothing and sums in float32."""
        return max(self.compute_fp32acc, self.memory_unfused)

    @property
    def bound(self) -> Literal["compute", "memory"]:
        """Which of the two limits ``best``."""
        return "compute" if self.compute >= self.memory else "memory"


def roofline(macs: Macs, traffic: Traffic, profile: Profile) -> Roofline:
    """The bounds of one graph on one profile."""
    fast = fp32acc = 0.0
    for dtype, count in macs.by_dtype.items():
        fp32 = profile.fp32_tflops.value
        half = dtype in ("float16", "bfloat16")
        peak = profile.fp16_tflops.value if half and profile.fp16_tflops else fp32
        slow = profile.fp16_fp32acc_tflops.value if half and profile.fp16_fp32acc_tflops else peak
        fast += _compute_ms(count, peak)
        fp32acc += _compute_ms(count, slow)
    bandwidth = profile.bandwidth_gbs.value
    return Roofline(
        fast, fp32acc, _memory_ms(traffic.fused, bandwidth), _memory_ms(traffic.unfused, bandwidth)
    )


def _compute_ms(macs: int, tflops: float) -> float:
    return 2 * macs / (tflops * 1e12) * 1e3


def _memory_ms(nbytes: int, gbs: float) -> float:
    return nbytes / (gbs * 1e9) * 1e3

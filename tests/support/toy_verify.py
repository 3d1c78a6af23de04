"""Verifies a bundle of the toy system in this process."""

from __future__ import annotations

from typing import Literal

from support.toy_system import ToyModel
from v2v_export.recipe import VerifyOptions
from v2v_export.system import GraphOptions
from v2v_export.verify.judge import judge
from v2v_export.verify.parity import ParityJob, verify_target
from v2v_export.verify.report import Report
from v2v_runtime.bundle import Bundle


def verify(
    bundle: Bundle,
    model: ToyModel,
    *,
    float_type: Literal["float16", "float32"] = "float32",
    full: bool = False,
    target: str = "cpu.onnxruntime",
    frames: int = 8,
    trust: tuple[str, ...] = (),
) -> Report:
    options = VerifyOptions(frames=frames)
    job = ParityJob(bundle.root, target, lambda: model, GraphOptions(float_type), options, full, trust=trust)
    return verify_target(job, judge)

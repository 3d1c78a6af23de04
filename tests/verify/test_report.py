"""What a report says to people: one line a check, short however many caches a model has."""

from __future__ import annotations

import math

from v2v_export.verify.compare import Difference, Tolerance
from v2v_export.verify.graphs import GraphCheck
from v2v_export.verify.report import Report


def difference(tensor: str, largest: float) -> Difference:
    return Difference(tensor, "feature", largest, 1e-3, (0,), "0", "0")


def line(*differences: Difference) -> str:
    checks = [GraphCheck("unet", "example", differences)]
    _, told = Report("cpu.onnxruntime", "fp32", Tolerance(1e-3, 1), False, "played", checks).lines()
    return told


def test_of_tensors_that_count_up_the_largest_is_told() -> None:
    caches = [difference(f"ring_{index:02}", index * 1e-6) for index in range(40)]
    told = line(difference("out_float", 3e-6), *caches, difference("ok", 0.0))
    assert told == "graph unet against its module: out_float 3e-06, ring_00..39 3.9e-05, ok 0"


def test_one_that_is_no_number_stands_for_all() -> None:
    told = line(*(difference(f"k_{index}", math.inf if index == 1 else 1e-6) for index in range(4)))
    assert told == "graph unet against its module: k_0..3 not finite"

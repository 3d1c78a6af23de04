"""The counter on the portable bodies of ``v2v::AdaBD``: each form multiplies what it says, by hand."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import v2v_plugins
from onnx import TensorProto, helper
from v2v_export.explain import count_bytes, count_macs, read_graph

HEIGHT, WIDTH, H, OUT = 6, 8, 12, 20
PIXELS = HEIGHT * WIDTH


def _model(path: Path, lowering: str) -> Path:
    ports = {
        "T": [1, H, HEIGHT, WIDTH],
        "F": [1, H, HEIGHT, WIDTH],
        "offset": [1, 18, HEIGHT, WIDTH],
        "mask": [1, 9, HEIGHT, WIDTH],
        "weight": [OUT, H, 3, 3],
    }
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape) for name, shape in ports.items()
    ]
    output = helper.make_tensor_value_info("Y", TensorProto.FLOAT16, [1, OUT, HEIGHT, WIDTH])
    blend = helper.make_node("AdaBD", list(ports), ["Y"], domain="v2v", name="blend")
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("v2v", 1)]
    graph = helper.make_graph([blend], "net", inputs, [output])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    v2v_plugins.attach_bodies(model, lowering)
    onnx.save(model, str(path))
    return path


ONE_PRODUCT = PIXELS * 9 * H * OUT


@pytest.mark.parametrize(
    ("lowering", "macs", "paper"),
    [
        # Both sums share one product over 9 taps of h channels.
        ("gather", ONE_PRODUCT, ONE_PRODUCT),
        ("gridsample", ONE_PRODUCT, ONE_PRODUCT),
        # Both sums as one deformable convolution of 2 h channels, which the papers' tool does not see.
        ("deformconv", 2 * ONE_PRODUCT, 0),
        # The five rows of three taps at a time are weighted by a product of 3 x 15 with 15 x h, for each of
        # the three groups of taps.
        ("scan", ONE_PRODUCT + PIXELS * 3 * (3 * 15 * H), ONE_PRODUCT + PIXELS * 3 * (3 * 15 * H)),
    ],
)
def test_multiply_adds_of_each_form(tmp_path: Path, lowering: str, macs: int, paper: int) -> None:
    counted = count_macs(read_graph(_model(tmp_path / "m.onnx", lowering)))
    assert (counted.true, counted.paper) == (macs, paper)


@pytest.mark.parametrize("lowering", ["gather", "gridsample", "deformconv", "scan"])
def test_ports_are_the_same_in_each_form(tmp_path: Path, lowering: str) -> None:
    traffic = count_bytes(read_graph(_model(tmp_path / "m.onnx", lowering)))
    assert traffic.inputs == 2 * ((2 * H + 18 + 9) * PIXELS + OUT * H * 9)
    assert traffic.outputs == 2 * OUT * PIXELS

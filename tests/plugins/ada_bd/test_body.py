"""Every portable body against SciPy's sampling and against what the published code computed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import v2v_plugins
from golden_data import golden_tensors
from plugins.ada_bd.cases import SIZES, TOLERANCE, Case, bare_model, evaluate, expected, make
from v2v_plugins.ada_bd.body import LOWERINGS

NAMES = sorted(LOWERINGS)


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, feeds)[0])


def with_body(case: Case, lowering: str, dtype: type = np.float32, opset: int = 19) -> onnx.ModelProto:
    model = bare_model(case, dtype, opset)
    v2v_plugins.attach_bodies(model, lowering)
    return model


def test_the_four_forms_are_there_and_the_default_is_portable() -> None:
    assert NAMES == ["deformconv", "gather", "gridsample", "scan"]
    assert next(iter(LOWERINGS)) == "gather"


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("lowering", NAMES)
def test_float32(lowering: str, name: str) -> None:
    case = make(name)
    found = run(with_body(case, lowering), case.feeds(np.float32))
    wanted = expected(name)
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["random", "borders", "batch"])
@pytest.mark.parametrize("lowering", NAMES)
def test_float16(lowering: str, name: str) -> None:
    case = make(name)
    found = run(with_body(case, lowering, np.float16), case.feeds(np.float16))
    wanted = expected(name, np.float16)
    assert found.dtype == np.float16
    assert np.abs(found - wanted).max() <= 2e-2 * np.abs(wanted).max()


@pytest.mark.parametrize("lowering", NAMES)
def test_positions_of_a_half_precision_graph_keep_their_fractions(lowering: str) -> None:
    """At column 500 half precision knows halves of a pixel only; stripes make a quarter visible."""
    width = 512
    stripes = np.broadcast_to(np.arange(width) % 2.0, (1, 4, 4, width))
    offset = np.zeros((1, 18, 4, width))
    offset[:, 1::2] = 0.25
    weight = np.zeros((4, 4, 3, 3))
    weight[range(4), range(4), 1, 1] = 1
    case = Case((np.zeros((1, 4, 4, width)), stripes, offset, np.zeros((1, 9, 4, width))), weight)
    found = run(with_body(case, lowering, np.float16), case.feeds(np.float16))
    wanted = np.where(np.arange(width - 1) % 2, 0.75, 0.25)
    np.testing.assert_allclose(found[0, :, :, :-1], np.broadcast_to(wanted, (4, 4, width - 1)), atol=1e-3)


@pytest.mark.parametrize("lowering", NAMES)
def test_golden_blocks(lowering: str) -> None:
    tensors = golden_tensors("shortcut_v2v", "block")
    weight = golden_tensors("shortcut_v2v", "shortcut")["mask_deform_conv.regular_conv.weight"]
    cases = sorted(key.split(".")[0] for key in tensors if key.endswith(".local_offset"))
    assert cases
    for name in cases:
        stored = [tensors[f"{name}.{key}"] for key in ("T", "F_star", "local_offset", "mask")]
        case = Case(tuple(item.double().numpy() for item in stored), weight.double().numpy())
        wanted = tensors[f"{name}.Y"].numpy()
        found = run(with_body(case, lowering), case.feeds(np.float32))
        assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max(), name


def test_the_mask_weighs_the_current_frame() -> None:
    """The identity that an inverted mask breaks: mask 1 is a plain convolution of T, whatever the offset."""
    case = make("mask_1")
    still = Case((case.tensors[0], 0 * case.tensors[1], 0 * case.tensors[2], case.tensors[3]), case.weight)
    for lowering in NAMES:
        found = run(with_body(case, lowering), case.feeds(np.float32))
        np.testing.assert_allclose(found, evaluate(still), atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30])
@pytest.mark.parametrize("lowering", NAMES)
def test_an_offset_gone_wild_stays_with_its_pixel(lowering: str, value: float) -> None:
    case = make("random")
    feeds = case.feeds(np.float32)
    feeds["offset"][:, :, 5, 7] = value
    found = run(with_body(case, lowering), feeds)
    wanted = expected("random")
    others = np.ones(wanted.shape[2:], bool)
    others[5, 7] = False
    assert np.abs(found - wanted)[:, :, others].max() <= TOLERANCE * np.abs(wanted).max()
    if not np.isnan(value):
        far = make("random")
        far.tensors[2][:, :, 5, 7] = 1000
        np.testing.assert_allclose(found[:, :, 5, 7], evaluate(far)[:, :, 5, 7], atol=1e-5)


@pytest.mark.parametrize("lowering", NAMES)
def test_the_file_needs_nothing_of_ours(lowering: str, tmp_path: Path) -> None:
    """In a process that never imports us, with ONNX Runtime alone."""
    case = make("smallest")
    model = with_body(case, lowering)
    onnx.save(model, tmp_path / "model.onnx")
    np.savez(tmp_path / "feeds.npz", **case.feeds(np.float32))
    script = (
        "import sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession('model.onnx', providers=['CPUExecutionProvider'])\n"
        "numpy.save('found.npy', session.run(None, dict(numpy.load('feeds.npz')))[0])\n"
        "assert not any(name.startswith(('v2v_', 'onnx.', 'torch')) for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=60)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), run(model, case.feeds(np.float32)))


@pytest.mark.parametrize("lowering", NAMES)
def test_every_opset_that_a_body_declares(lowering: str) -> None:
    case = make("smallest")
    wanted = expected("smallest")
    body = LOWERINGS[lowering]
    newest = min(body.last_opset, onnx.defs.onnx_opset_version(), 24)
    for opset in {body.first_opset, 18 if body.first_opset <= 18 else 19, 19, newest}:
        model = with_body(case, lowering, opset=opset)
        onnx.checker.check_model(model, full_check=True)
        found = run(model, case.feeds(np.float32))
        assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()


def _read_by(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield from node.input
        for attribute in node.attribute:
            yield from _read_by(attribute.g.node)
            yield from (output.name for output in attribute.g.output)


@pytest.mark.parametrize("lowering", NAMES)
def test_no_node_of_a_body_is_idle(lowering: str) -> None:
    function = with_body(make("smallest"), lowering).functions[0]
    read = {*_read_by(function.node), *function.output}
    assert {name for node in function.node for name in node.output} <= read
    assert set(function.input) <= read


@pytest.mark.parametrize("lowering", ["gather", "gridsample"])
def test_portable_bodies_use_no_operator_newer_than_opset_19(lowering: str) -> None:
    model = with_body(make("smallest"), lowering)
    for node in model.functions[0].node:
        assert onnx.defs.get_schema(node.op_type, 19).since_version <= 19
        assert node.op_type not in ("DeformConv", "Scan", "Loop", "If")

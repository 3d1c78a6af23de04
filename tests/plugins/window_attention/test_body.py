"""Every portable body, and both torch forms, against a sum written in NumPy with SciPy's softmax."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import v2v_plugins
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy.special import softmax
from v2v_plugins.window_attention.body import LOWERINGS
from v2v_plugins.window_attention.reference import literal, stacked
from v2v_plugins.window_attention.torch_op import window_attention

ROWS, PLACES, HEADS, WIDTH = 3, 5, 2, 4
Feeds = Mapping[str, NDArray[np.generic]]

#: [9, T]: a full window, one that is filling (ring entries 1 and 2, own), and a row without a frame.
OPENED = np.zeros((9, ROWS), dtype=bool)
OPENED[:, 0] = [True, True, True, False, True, True, True, True, True]
OPENED[[1, 2, 8], 1] = True


def feeds(dtype: type = np.float32) -> dict[str, NDArray[np.generic]]:
    """Random tensors; ring entry 3, closed in every row, holds NaN."""
    generator = np.random.default_rng(3)
    token = (2, HEADS, WIDTH)
    shapes = {
        "query": (ROWS, PLACES, HEADS, WIDTH),
        "own": (ROWS, PLACES, *token),
        "sinks": (ROWS, 8, PLACES, *token),
        "ring": (8, ROWS, PLACES, *token),
        "moves": (9, ROWS, *token),
    }
    made = {name: generator.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
    made["ring"][3] = np.nan
    return {**made, "opened": OPENED}


def expected(given: Feeds) -> NDArray[np.float64]:
    """The schema's formula, one query at a time, in float64."""
    wide = {name: np.asarray(item, dtype=np.float64) for name, item in given.items() if name != "opened"}
    result = np.empty((ROWS, PLACES, HEADS, WIDTH))
    for row, place, head in np.ndindex(ROWS, PLACES, HEADS):
        keys = [wide["sinks"][row, j, place, :, head] for j in range(8)]
        for i in range(8):
            if OPENED[i, row]:
                keys.append(wide["ring"][i, row, place, :, head] + wide["moves"][i, row, :, head])
        if OPENED[8, row]:
            keys.append(wide["own"][row, place, :, head] + wide["moves"][8, row, :, head])
        window = np.stack(keys)
        weights = softmax(window[:, 0] @ wide["query"][row, place, head])
        result[row, place, head] = weights @ window[:, 1]
    return result


def with_body(given: Feeds, lowering: str, opset: int = 19) -> onnx.ModelProto:
    kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float16): TensorProto.FLOAT16}
    kinds[np.dtype(bool)] = TensorProto.BOOL
    inputs = [helper.make_tensor_value_info(n, kinds[x.dtype], x.shape) for n, x in given.items()]
    query = given["query"]
    output = helper.make_tensor_value_info("Y", kinds[query.dtype], query.shape)
    node = helper.make_node("WindowAttention", list(given), ["Y"], domain="v2v", name="window")
    graph = helper.make_graph([node], "window", inputs, [output])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("v2v", 1)]
    )
    v2v_plugins.attach_bodies(model, lowering)
    model.ir_version = 9
    return model


def run(model: onnx.ModelProto, given: Feeds) -> NDArray[np.generic]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, dict(given))[0])


def test_the_default_is_the_form_of_one_kernel() -> None:
    assert list(LOWERINGS) == ["unrolled", "stacked", "matmul"]


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_float32(lowering: str) -> None:
    given = feeds()
    assert np.abs(run(with_body(given, lowering), given) - expected(given)).max() <= 2e-6


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_float16(lowering: str) -> None:
    """Within what half-precision products and results round: values are of size 3."""
    given = feeds(np.float16)
    found = run(with_body(given, lowering), given)
    assert found.dtype == np.float16
    assert np.abs(found - expected(given)).max() <= 1e-2


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_opset_of_cache_updates(lowering: str) -> None:
    given = feeds()
    assert np.abs(run(with_body(given, lowering, opset=24), given) - expected(given)).max() <= 2e-6


@pytest.mark.parametrize("lowering", ["unrolled", "stacked"])
def test_scores_beyond_the_range_of_exp_stay_finite(lowering: str) -> None:
    given = feeds()
    given["query"] = given["query"] * np.float32(300)
    found = run(with_body(given, lowering), given)
    assert np.isfinite(found).all()
    assert np.abs(found - expected(given)).max() <= 2e-4


def hidden(dtype: type, sign: int) -> dict[str, NDArray[np.generic]]:
    """Row 0's own key is infinite in one channel, at one place and head, with the sign that makes its score
    minus infinity (-1) or infinity (1); row 2, which is closed, has one too."""
    given = feeds(dtype)
    given["query"][0, 1, 1, 2] = 0.5
    given["own"][[0, 2], 1, 0, 1, 2] = sign * np.inf
    return given


def seen_at(found: NDArray[np.generic]) -> list[tuple[int, ...]]:
    """Row, place and head of every result that is not all finite; it is NaN throughout there."""
    broken = ~np.isfinite(found)
    assert np.isnan(found[broken.any(-1)]).all()
    return [tuple(int(at) for at in index) for index in np.argwhere(broken.any(-1))]


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("lowering", LOWERINGS)
def test_an_infinite_own_key_does_not_hide(lowering: str, dtype: type, sign: int) -> None:
    """A score of minus infinity would leave the result as it is, and the key in the cache."""
    given = hidden(dtype, sign)
    assert seen_at(run(with_body(given, lowering), given)) == [(0, 1, 1)]


@pytest.mark.parametrize("form", [literal, stacked, window_attention])
def test_an_infinite_own_key_in_torch(form: object) -> None:
    tensors = [torch.from_numpy(np.ascontiguousarray(item)) for item in hidden(np.float32, -1).values()]
    assert seen_at(form(*tensors).numpy()) == [(0, 1, 1)]  # type: ignore[operator]  # three callables of one signature


@pytest.mark.parametrize("form", [literal, stacked, window_attention])
def test_torch(form: object) -> None:
    given = feeds()
    tensors = [torch.from_numpy(np.ascontiguousarray(item)) for item in given.values()]
    found = form(*tensors)  # type: ignore[operator]  # three callables of one signature
    assert np.abs(found.numpy() - expected(given)).max() <= 2e-6


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("ring", torch.zeros(ROWS, 8, PLACES, 2, HEADS, WIDTH)),
        ("moves", torch.zeros(8, ROWS, 2, HEADS, WIDTH)),
        ("opened", torch.zeros(9, ROWS)),
        ("own", torch.zeros(ROWS, PLACES, 2, HEADS, WIDTH, dtype=torch.float16)),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(name: str, wrong: torch.Tensor) -> None:
    tensors = {key: torch.from_numpy(np.ascontiguousarray(item)) for key, item in feeds().items()}
    with pytest.raises(ValueError, match=f"window_attention: {name}"):
        window_attention(*{**tensors, name: wrong}.values())

"""Taps: hidden in a playing graph, and brought back without a change to what it computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from v2v_export.errors import BuildError
from v2v_export.export.taps import surface

from .conftest import Small, small_spec


def test_surfacing_changes_nothing_else(small: Small, export: Any, play: Any) -> None:
    spec = small_spec(small)
    path = export(spec)
    model = onnx.load_model(path, load_external_data=False)
    before = model.SerializeToString(deterministic=True)
    shown = surface(model, ["picture"])
    assert model.SerializeToString(deterministic=True) == before, "a copy"
    assert [port.name for port in shown.graph.output] == ["out", "feature", "picture"]
    dims = shown.graph.output[2].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [1, 3, 8, 12]
    with_tap, without = play(path, spec, taps=["picture"]), play(path, spec)
    for name in without:
        np.testing.assert_array_equal(with_tap[name], without[name])


def test_an_output_is_no_tap(small: Small, export: Any) -> None:
    model = onnx.load_model(export(small_spec(small)), load_external_data=False)
    assert len(surface(model, ["out"]).graph.output) == 2


def test_a_tap_that_is_not_there(small: Small, export: Any) -> None:
    model = onnx.load_model(export(small_spec(small)), load_external_data=False)
    with pytest.raises(BuildError, match=r"E7012[\s\S]*'pictur'"):
        surface(model, ["pictur"])

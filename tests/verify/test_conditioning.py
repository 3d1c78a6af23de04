"""A graph that misses its module: whether rounding alone explains it, by modules whose rounding is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from support.toy_system import ToyModel, toy_bundle
from support.toy_verify import verify
from torch import Tensor, nn
from v2v_export.system import GraphOptions, GraphSpec
from v2v_export.verify.budget import Budget
from v2v_export.verify.compare import Difference, Tolerance
from v2v_export.verify.conditioning import MonteCarloArithmetic, own_rounding
from v2v_export.verify.modules import record_modules
from v2v_export.verify.report import Miss
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import TensorSpec

SHAPE = (64, 64)
PORT = TensorSpec("float", SHAPE)


class Shifted(nn.Module):
    """x -> (x + far) - far: the sum is rounded to the spacing of ``far``, 2^-23 or 2^-10 of it."""

    def __init__(self, far: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.far, self.dtype = far, dtype

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(self.dtype) + self.far) - self.far


def own(far: float, kind: Literal["float16", "float32"], folder: Path) -> Difference:
    def spec(dtype: torch.dtype) -> GraphSpec:
        return GraphSpec("shift", lambda: Shifted(far, dtype), {"x": PORT}, {"y": PORT})

    record_modules([spec(torch.float32)], folder, Budget(None), {}, {})
    miss = Difference("y", "feature", 9.0, 1.0, (0, 0), "", "")
    options, tolerance = GraphOptions(kind), Tolerance(1e-4, 1, kind)
    found = own_rounding(folder, spec(options.dtype), options, "example", miss, tolerance)
    assert found is not None
    return found


class TestModules:
    def test_one_that_cancels_moves_by_the_spacing_of_what_it_cancels(self, tmp_path: Path) -> None:
        """Numbers of deviation 1 beside 2^15: there the spacing is 2^-8, and the sum moves by one or two."""
        found = own(2.0**15, "float32", tmp_path)
        assert 2**-8 <= found.largest <= 2 * 2**-8 * 1.1
        assert not found.within

    def test_one_that_does_not_moves_by_its_own(self, tmp_path: Path) -> None:
        """Two results of at most 5 in size, by two units of 2^-21 each."""
        found = own(0.0, "float32", tmp_path)
        assert 2**-23 <= found.largest <= 4 * 2**-21
        assert found.within

    def test_half_precision_is_asked_in_half_precision(self, tmp_path: Path) -> None:
        """Beside 32 the spacing of float16 is 2^-5; rounding to nearest alone would be half of it."""
        found = own(32.0, "float16", tmp_path)
        assert 2**-5 <= found.largest <= 4 * 2**-5 * 1.1


class TestArithmetic:
    def test_it_moves_about_half_of_all_results(self) -> None:
        value = torch.full((10_000,), 1.5)
        with MonteCarloArithmetic():
            moved = value * 1.0
        units = (moved - value) * 2**23
        assert set(units.tolist()) <= {-2.0, -1.0, 0.0, 1.0, 2.0}
        assert 0.3 < (units != 0).float().mean() < 0.9
        assert abs(units.mean()) < 0.6

    def test_what_moves_chooses_or_makes_numbers_is_exact(self) -> None:
        value = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))
        expected = np.where(np.arange(6) > 2, value.numpy()[::-1].copy(), 0)
        with MonteCarloArithmetic():
            turned = torch.cat([value[2:].flip(0), value[:2].flip(0)]).clone().view(4, 6)
            made = torch.where(torch.arange(6) > 2, turned, torch.zeros(4, 6))
        np.testing.assert_array_equal(made.numpy(), expected)

    def test_integers_are_left_alone(self) -> None:
        with MonteCarloArithmetic():
            assert torch.equal(torch.arange(5) * 3, torch.tensor([0, 3, 6, 9, 12]))

    def test_it_draws_the_same_numbers_every_time(self) -> None:
        value = torch.randn(100, generator=torch.Generator().manual_seed(5))
        made = []
        for _ in range(2):
            with MonteCarloArithmetic():
                made.append((value * 3).exp())
        assert torch.equal(*made)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return toy_bundle(tmp_path_factory.mktemp("toy") / "toy.v2v", ToyModel())


def words(miss: Miss | None) -> str:
    assert miss is not None
    return str(miss.error("cpu.onnxruntime"))


class TestAdvice:
    def test_a_wrong_graph_is_not_excused(self, sound: Bundle) -> None:
        miss = verify(sound, ToyModel("weight")).miss
        assert miss is not None
        assert miss.own is not None
        # The graph is off by more than 1e-3; float32 has a unit of 6e-8.
        assert 1e-8 < miss.own.largest < 1e-5
        assert "look at its lowerings" in words(miss)
        assert "It is not rounding, which takes the module" in words(miss)

    def test_a_module_that_rounding_takes_as_far_is_named(self, sound: Bundle) -> None:
        miss = verify(sound, ToyModel("weight")).miss
        assert miss is not None
        moved = Difference("a", "feature", 0.0137, 1e-3, (0,), "0", "0")
        told = words(dataclasses.replace(miss, own=moved))
        assert "rounding alone takes this graph's torch module 0.0137 standard deviations away" in told
        assert "lowerings" not in told

    def test_a_module_that_overflows_too_is_named(self, sound: Bundle, tmp_path: Path) -> None:
        """65504 is the largest number that float16 has."""
        found = own(65504.0 * 2, "float16", tmp_path)
        assert not found.finite
        miss = verify(sound, ToyModel("weight")).miss
        assert miss is not None
        told = words(dataclasses.replace(miss, finite=False, own=found))
        assert told.startswith("[V2V-E8004]")
        assert "gives no number here either in the variant's precision" in told

    def test_without_an_answer_the_advice_stands(self, sound: Bundle, monkeypatch: Any) -> None:
        monkeypatch.setattr("v2v_export.verify.conditioning.own_rounding", lambda *given: None)
        assert words(verify(sound, ToyModel("weight")).miss).endswith("and its precision")

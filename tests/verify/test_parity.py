"""Parity finds what is wrong, and names it; and what is right passes with everything looked at."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bundles import make_target
from support.toy_system import ToyModel, toy_bundle
from support.toy_verify import verify
from torch import nn
from v2v_export.errors import VerdictError
from v2v_export.recipe import VerifyOptions
from v2v_export.system import GraphOptions, GraphSpec
from v2v_export.verify import parity
from v2v_export.verify.compare import Tolerance, difference
from v2v_export.verify.graphs import GraphCheck
from v2v_export.verify.judge import judge
from v2v_export.verify.parity import ParityJob, verify_target
from v2v_export.verify.report import first_miss_of_graph
from v2v_runtime.bundle import Bundle
from v2v_runtime.bundle_writer import write_bundle, write_target


class TestASoundBundle:
    def test_passes_and_crosses_everything(self, sound: Bundle) -> None:
        report = verify(sound, ToyModel())
        assert report.miss is None
        assert report.not_verified == []
        # One step of `first`; of `stream` two intervals and one step.
        assert len(report.steps) == 1 + 2 * 3 + 1
        assert [s.phase for s in report.steps[:2]] == ["first", "stream"]
        assert "phase stream: refresh ran 2 times" in report.crossed
        assert len(report.stream) == 8
        assert report.selftest is not None
        assert report.selftest.frames == 8

    def test_every_tensor_is_compared_with_real_numbers(self, sound: Bundle) -> None:
        told = verify(sound, ToyModel()).as_dict()
        assert set(told["graphs"]) == {"picture", "refresh"}
        assert set(told["graphs"]["picture"]) == {"out", "ok", "a", "entry", "out_float"}
        forced = told["teacher_forced"]
        assert {"out", "out_float", "memory", "shade", "past"} <= set(forced)
        # Two float32 evaluations in different orders agree closely, and not to the last bit everywhere.
        assert 0 < max(forced["out_float"], forced["memory"], forced["past"]) < 1e-4

    def test_in_place_entries_are_poisoned(self, sound: Bundle) -> None:
        assert verify(sound, ToyModel()).poisoned == 8

    def test_full_plays_at_least_32_frames_both_ways(self, sound: Bundle) -> None:
        report = verify(sound, ToyModel(), full=True)
        assert report.miss is None
        assert (len(report.steps), len(report.stream)) == (32, 32)
        assert report.as_dict()["level"] == "full"

    def test_the_bundle_is_left_as_it_was(self, sound: Bundle) -> None:
        before = {path: path.stat().st_mtime_ns for path in sound.root.rglob("*")}
        verify(sound, ToyModel())
        assert {path: path.stat().st_mtime_ns for path in sound.root.rglob("*")} == before


def test_half_precision_is_held_to_its_own_tolerance(tmp_path: Path) -> None:
    bundle = toy_bundle(tmp_path / "toy.v2v", ToyModel(), GraphOptions("float16"))
    report = verify(bundle, ToyModel(), float_type="float16")
    assert report.miss is None, report.miss
    assert report.tolerance.picture == 2e-2
    worst = report.as_dict()["free_running"]["out_float"]
    # Half precision was really played: float32 does not get that far apart.
    assert 1e-4 < worst < 2e-2


def test_a_wrong_weight_in_one_graph(sound: Bundle) -> None:
    """The bundle's graph `picture` has another weight than the module."""
    miss = verify(sound, ToyModel("weight")).miss
    assert miss is not None
    assert (miss.level, miss.graph) == ("graph", "picture")
    error = miss.error("cpu.onnxruntime")
    assert isinstance(error, VerdictError)
    assert error.code == "V2V-E8001"
    assert "graph picture" in error.seen


def test_a_wrong_order_of_channels(tmp_path: Path) -> None:
    """Module and graph agree, so level 1 passes; the literal reference does not."""
    model = ToyModel("channels")
    report = verify(toy_bundle(tmp_path / "toy.v2v", model), model)
    assert len(report.graphs) == 4
    miss = report.miss
    assert miss is not None
    assert (miss.level, miss.graph) == ("step", "picture")
    assert "step 0 of phase first" in miss.where
    assert miss.what.startswith("out_float:")
    assert miss.error("t").code == "V2V-E8002"


def test_two_slots_mixed_up(tmp_path: Path) -> None:
    """The pictures of the first step are right; the slot that its last call wrote is not."""
    model = ToyModel("slots")
    miss = verify(toy_bundle(tmp_path / "toy.v2v", model), model).miss
    assert miss is not None
    assert (miss.level, miss.graph) == ("step", "refresh")
    assert "step 0 of phase first" in miss.where
    assert miss.what.startswith(("memory:", "shade:"))


def test_a_refresh_that_does_not_come(tmp_path: Path) -> None:
    """No call of step 5 writes the slot that the reference refreshes there."""
    model = ToyModel("seldom")
    miss = verify(toy_bundle(tmp_path / "toy.v2v", model), model).miss
    assert miss is not None
    assert (miss.level, miss.graph) == ("step", "")
    assert "step 5 of phase stream" in miss.where
    assert miss.what.startswith("memory:")


def test_what_late_calls_write_is_theirs(sound: Bundle) -> None:
    """Their events come after the step's own."""
    report = verify(sound, ToyModel())
    made = [{item.tensor: graph for graph, item in check.differences} for check in report.steps]
    assert [check["memory"] for check in made] == ["refresh", "", "", "refresh", "", "", "refresh", ""]
    assert {check["past"] for check in made} == {"picture"}


def test_an_error_that_adds_up(tmp_path: Path) -> None:
    """Each step alone is within tolerance; the free-running stream is not."""
    model = ToyModel("drift")
    report = verify(toy_bundle(tmp_path / "toy.v2v", model), model, frames=40)
    assert len(report.steps) == 8
    miss = report.miss
    assert miss is not None
    assert miss.level == "stream"
    assert miss.error("t").code == "V2V-E8003"
    assert "out_float" in miss.what


def test_not_a_number(tmp_path: Path) -> None:
    """NaN on both sides is a miss all the same."""
    model = ToyModel("nan")
    miss = verify(toy_bundle(tmp_path / "toy.v2v", model), model).miss
    assert miss is not None
    assert not miss.finite
    assert miss.graph == "picture"
    error = miss.error("t")
    assert error.code == "V2V-E8004"
    # PyTorch's own numbers are none here, so the lowerings are not to blame.
    assert "PyTorch itself computes NaN or infinity" in error.seen
    assert "weights" in error.fix
    assert "lowerings" not in error.fix


def test_not_a_number_in_the_graph_alone() -> None:
    """Where PyTorch's numbers are sound, the graph stays to blame."""
    seen, expected = np.array([1.0, np.nan]), np.array([1.0, 2.0])
    tolerance = Tolerance(1e-4, 1)
    found = difference("out", seen, expected, "feature", tolerance)
    miss = first_miss_of_graph(GraphCheck("picture", "example", (found,)))
    assert miss is not None
    error = miss.error("t")
    assert error.code == "V2V-E8004"
    assert "PyTorch itself" not in error.seen
    assert "lowerings" in error.fix


def test_a_ring_masked_by_multiplication(tmp_path: Path) -> None:
    """Right numbers, and yet a failed step could not be tried again: NaN times zero is NaN."""
    model = ToyModel("multiply")
    report = verify(toy_bundle(tmp_path / "toy.v2v", model), model)
    assert len(report.steps) == 8
    miss = report.miss
    assert miss is not None
    assert miss.level == "poison"
    assert "picture" in miss.where


def test_a_target_that_plays_otherwise(sound: Bundle, tmp_path: Path) -> None:
    """Graphs and stream are right; the frames that the target has to reproduce are not its own."""
    manifest = sound.manifest
    assert manifest.selftest is not None
    sources = {entry.path: sound.root / entry.path for entry in manifest.files if "graphs" in entry.path}
    clip = sound.blob(manifest.selftest.input)
    wrong = np.array(sound.blob(manifest.selftest.output))
    wrong[5, 2, 3] = 255 - wrong[5, 2, 3]
    write_bundle(
        tmp_path / "toy.v2v",
        manifest,
        graphs=sources,
        blobs={manifest.selftest.input.file: {"input": clip, "output": wrong}},
    )
    write_target(tmp_path / "toy.v2v", make_target())
    miss = verify(Bundle.open(tmp_path / "toy.v2v"), ToyModel()).miss
    assert miss is not None
    assert miss.level == "selftest"
    assert "output frame 5" in miss.where
    assert miss.error("t").code == "V2V-E8006"


def test_a_target_is_judged_in_a_process_without_torch(sound: Bundle) -> None:
    """The same verdict as here, to the last bit, and the recordings serve a second target."""
    here = verify(sound, ToyModel())
    told: list[dict[str, Any]] = []
    run = parity.run_child

    def run_child(*arguments: Any, **named: Any) -> dict[str, Any]:
        told.append(run(*arguments, **named))
        return told[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "run_child", run_child)
        job = ParityJob(sound.root, "cpu.onnxruntime", ToyModel, GraphOptions(), VerifyOptions(frames=8))
        there = verify_target(job)
    assert there.as_dict() == here.as_dict()
    assert [item["torch"] for item in told] == [False]


def test_what_pytorch_computed_is_asked_for_once(sound: Bundle, tmp_path: Path) -> None:
    asked: list[str] = []

    class Counted(ToyModel):
        def reference(self) -> Any:
            asked.append("reference")
            return super().reference()

        def graphs(self, options: GraphOptions) -> Any:
            def make(spec: GraphSpec) -> nn.Module:
                asked.append(spec.name)
                return spec.make()

            return [dataclasses.replace(spec, module=partial(make, spec)) for spec in super().graphs(options)]

    for _ in range(2):
        job = ParityJob(
            sound.root,
            "cpu.onnxruntime",
            Counted,
            GraphOptions(),
            VerifyOptions(frames=8),
            scratch=tmp_path / "shared",
        )
        assert verify_target(job, judge).miss is None
    assert sorted(asked) == ["picture", "reference", "refresh"]


def test_without_a_budget_graphs_and_steps_are_left_out_and_told(sound: Bundle) -> None:
    options = VerifyOptions(frames=8, budget_seconds=0.0)
    job = ParityJob(sound.root, "cpu.onnxruntime", ToyModel, GraphOptions(), options)
    report = verify_target(job, judge)
    assert (report.graphs, report.steps, report.stream) == ([], [], [])
    told = " | ".join(report.not_verified)
    for what in ("graph picture against its module", "graph refresh", "the stream past frame 0"):
        assert what in told
    assert "verify --full" in told
    # The bundle's own frames are played all the same.
    assert report.selftest is not None

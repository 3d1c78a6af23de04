"""Sides: what a reference holds for torch.compile, and how its steps take their frames."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from v2v_export.bench.sides import ReferenceSide, compiled, whole_period
from v2v_export.bench.teacher import teacher_recipe
from v2v_export.errors import ModelError
from v2v_export.recipe import Recipe
from v2v_export.registry import code_digest, find_system
from v2v_export.system import FrameSize, ReferenceFrame
from v2v_runtime.manifest.model import Call, Every, FrameSpec, Phase, Program

FRAME = np.zeros((2, 2, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Parts:
    first: nn.Module
    others: tuple[nn.Module, ...]


class Reference:
    """Holds modules at several depths, and writes down what it is given."""

    def __init__(self) -> None:
        self.parts = Parts(nn.Linear(2, 2), (nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2))))
        self.again = self.parts.first
        self.table = {"third": nn.Linear(2, 2)}
        self.steps: list[int] = []

    def reset(self) -> None:
        self.steps.clear()

    def step(self, frames: NDArray[np.uint8]) -> Sequence[ReferenceFrame]:
        self.steps.append(len(frames))
        return []

    def slots(self) -> dict[str, Any]:
        return {}


def program(*phases: Phase) -> Program:
    size = FrameSpec(2, 2)
    return Program({"frame": size}, {"frame": size}, phases, max_frames=1)


def call(every: int | None) -> Call:
    return Call("c", "g", {}, {}, when=None if every is None else Every(every, (0,)))


def test_steps_take_the_frames_of_their_phase() -> None:
    reference = Reference()
    side = ReferenceSide(
        "r", reference, program(Phase("a", 2, (call(None),), gather=3), Phase("b", "forever", (call(None),)))
    )
    for _ in range(8):
        side.push(FRAME)
    assert reference.steps == [3, 3, 1, 1]
    side.reset()
    side.push(FRAME)
    assert reference.steps == []


def test_period_is_of_the_last_phase_in_frames() -> None:
    first = Phase("a", 5, (call(7),))
    last = Phase("b", "forever", (call(2), call(3), call(None)), gather=4)
    assert whole_period(program(first, last)) == 24


def test_every_module_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: taken.append(self))
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/g++")
    reference = Reference()
    assert compiled(reference, FRAME, 1) == ""
    wanted = [reference.parts.first, *reference.parts.others, reference.table["third"]]
    assert sorted(map(id, taken)) == sorted(map(id, wanted))
    assert reference.steps == []


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "compiler" in compiled(Reference(), FRAME, 1)


def test_a_compiler_that_fails_is_a_reason_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Reference, frames: object) -> None:
        raise torch._dynamo.exc.TorchDynamoException("unsupported: this")

    monkeypatch.setattr(nn.Module, "compile", lambda self: None)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/g++")
    monkeypatch.setattr(Reference, "step", fail)
    assert "unsupported: this" in compiled(Reference(), FRAME, 1)


class TestTeacher:
    def recipe(self) -> Recipe:
        system = find_system("shortcut_v2v")
        weights = {"teacher": "random:0", "shortcut": "random:0"}
        return Recipe("mine", system, FrameSize(16, 24), weights, system.options(ngf=4, n_blocks=1))

    def test_is_the_teacher_of_the_same_recipe(self) -> None:
        recipe = teacher_recipe(self.recipe())
        model = recipe.system.load(recipe.weights, recipe.options, recipe.size)
        assert recipe.name == "mine-teacher"
        assert [call.graph for phase in model.program().phases for call in phase.calls] == ["teacher"]

    def test_caches_tell_its_code_by_the_package_of_the_original(self) -> None:
        recipe = self.recipe()
        assert code_digest(teacher_recipe(recipe).system) == code_digest(recipe.system)
        assert teacher_recipe(recipe).system.name != recipe.system.name

    def test_a_system_without_one(self) -> None:
        recipe = teacher_recipe(teacher_recipe(self.recipe()))
        with pytest.raises(ModelError, match="V2V-E6301"):
            recipe.system.load(recipe.weights, recipe.options, recipe.size)

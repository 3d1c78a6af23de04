"""The full teacher as a bundle of its own, beside the stream's: what the stream is measured against."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from v2v_export.errors import ModelError
from v2v_export.recipe import Recipe
from v2v_export.system import FrameSize, Model, System
from v2v_export.weights import Weights


class TeacherSystem:
    """A system whose models are the teachers of another one's (``v2v_export.system.System``)."""

    def __init__(self, of: System) -> None:
        self._of = of
        self.name = f"{of.name}-teacher"
        self.title = f"the full teacher of {of.name}"
        self.weights = of.weights
        self.lowerings: Mapping[str, tuple[str, ...]] = of.lowerings
        self.options: type[Any] = of.options

    def template(self) -> str:
        return self._of.template()

    def load(self, weights: Weights, options: Any, size: FrameSize) -> Model:
        """The teacher.

        Raises:
            ModelError: this system has no teacher to compare with (V2V-E6301).
        """
        teacher = self._of.load(weights, options, size).teacher()
        if teacher is None:
            raise ModelError(
                "V2V-E6301", f"system {self._of.name} has no full teacher", "", "bench without it"
            )
        return teacher


def teacher_recipe(recipe: Recipe) -> Recipe:
    """The recipe of the teacher of what ``recipe`` asks for."""
    # Caches tell systems apart by the code of the package that their class stands in: the teacher's is the
    # original's.
    kind = type("TeacherSystem", (TeacherSystem,), {"__module__": type(recipe.system).__module__})
    return dataclasses.replace(recipe, name=f"{recipe.name}-teacher", system=kind(recipe.system))

"""What the stages of one build share."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from v2v_export.heap import give_back
from v2v_export.progress import Outcome, Progress
from v2v_export.recipe import Recipe
from v2v_export.remarks import told
from v2v_export.store import Store

if TYPE_CHECKING:
    from v2v_export.system import Model


@dataclass(frozen=True)
class StageResult:
    """One stage of a build: its name, whether it was ``built`` or ``cached``, and how long it took.

    Attributes:
        parts: seconds of each part of it that tells its own, such as the tracing of each graph.
    """

    name: str
    outcome: Outcome
    seconds: float
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Context:
    """One build.

    Attributes:
        core: ``provenance.core_key``.
        verifying: targets will be verified, so what the PyTorch reference does is worth recording.
        stages: what has ended so far.
        notes: what was told to the user in words.
    """

    recipe: Recipe
    store: Store
    progress: Progress
    core: Mapping[str, Any]
    verifying: bool = False
    stages: list[StageResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _model: Model | None = None
    _parts: dict[str, float] = field(default_factory=dict)
    _scratch: tempfile.TemporaryDirectory[str] | None = None

    def model(self) -> Model:
        """The system's model, loaded at the first call."""
        if self._model is None:
            self.progress.step("loading the weights")
            recipe = self.recipe
            with told(self.note):
                self._model = recipe.system.load(recipe.weights, recipe.options, recipe.size)
        return self._model

    def release_model(self) -> None:
        """Frees the model's memory: a child process may need it."""
        self._model = None
        give_back()

    @property
    def scratch(self) -> Path:
        """A folder that lives as long as the build, where temporary files are kept (``TMPDIR``)."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="v2v-verify-")
        return Path(self._scratch.name)

    def close(self) -> None:
        """Takes the scratch folder away."""
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def note(self, text: str) -> None:
        """Tells the user something, once."""
        if text not in self.notes:
            self.notes.append(text)
            self.progress.note(text)

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """A stage that always works; for the others see ``cached``."""
        started = time.perf_counter()
        outcome: Outcome = "failed"
        try:
            self.progress.start(name, total)
            yield
            outcome = "done"
        except (KeyboardInterrupt, SystemExit):
            outcome = "stopped"
            raise
        finally:
            self._finish(name, outcome, time.perf_counter() - started)

    def cached(
        self,
        name: str,
        kind: str,
        key: Mapping[str, Any],
        produce: Callable[[Path], None],
        total: int | None = None,
    ) -> Path:
        """A stage of the store: its data folder, made by ``produce`` unless it is there."""
        started = time.perf_counter()
        outcome: Outcome = "failed"
        built = False

        def counted(folder: Path) -> None:
            nonlocal built
            built = True
            produce(folder)

        try:
            self.progress.start(name, total)
            folder = self.store.stage(kind, key, counted)
            outcome = "built" if built else "cached"
            return folder
        except (KeyboardInterrupt, SystemExit):
            outcome = "stopped"
            raise
        finally:
            self._finish(name, outcome, time.perf_counter() - started)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measures a part of the stage that runs."""
        started = time.perf_counter()
        yield
        self._parts[name] = time.perf_counter() - started

    def _finish(self, name: str, outcome: Outcome, seconds: float) -> None:
        self.stages.append(StageResult(name, outcome, seconds, self._parts))
        self._parts = {}
        self.progress.finish(outcome, seconds)

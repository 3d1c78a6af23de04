"""Builds what the parts measure, in one folder with one store, so that parts share their stages."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from v2v_export.bench.teacher import teacher_recipe
from v2v_export.build import build
from v2v_export.build.variants import graph_options
from v2v_export.clip import moving_frames
from v2v_export.profiles import Profile
from v2v_export.progress import Progress
from v2v_export.recipe import Recipe, load_recipe
from v2v_export.store import Store
from v2v_export.system import GraphSpec, Model
from v2v_export.verify.arrays import finished
from v2v_export.verify.reference import RecordedReference, Recorder
from v2v_export.verify.tapped import Tapped, tapped_copy
from v2v_runtime.bundle import Bundle
from v2v_runtime.stream import Stream
from v2v_runtime.trace import Event

from _real.case import Case

# Parity is what the parts measure, and the self-test is not played: two frames are the least it can have.
_LEAN = "frames = 2"


@dataclass(frozen=True)
class TappedStream:
    """A stream whose float pictures can be read, as ``check_steps`` wants it."""

    stream: Stream
    events: list[Event]
    taps: Tapped


class Workshop:
    """See the module's docstring.

    Args:
        folder: exists; bundles and the store are kept in it.
    """

    def __init__(self, case: Case, folder: Path, progress: Progress) -> None:
        self.case = case
        self.folder = folder
        self.progress = progress
        self.store = Store(folder / "store")
        self._clip: NDArray[np.uint8] | None = None
        self._models: dict[str, Model] = {}

    @property
    def clip(self) -> NDArray[np.uint8]:
        """The clip, uint8 [frames, H, W, 3]."""
        if self._clip is None:
            self._clip = moving_frames(self.case.frames, self.case.height, self.case.width)
        return self._clip

    def recipe(self, schedule: str) -> Recipe:
        """The recipe of one schedule."""
        path = self.folder / f"{schedule}.toml"
        path.write_text(self.case.recipe(f"real-{schedule}", schedule, _LEAN), encoding="utf-8")
        return load_recipe(path)

    def model(self, schedule: str) -> Model:
        """The torch model of one schedule."""
        if schedule not in self._models:
            recipe = self.recipe(schedule)
            self._models[schedule] = recipe.system.load(recipe.weights, recipe.options, recipe.size)
        return self._models[schedule]

    def literal(self, schedule: str) -> RecordedReference:
        """The literal stream over the whole clip, computed once."""
        folder = self.folder / f"literal-{schedule}"
        if not finished(folder):
            model = self.model(schedule)
            recorder = Recorder(model.reference(), model.program(), self.case.forced_frames, folder)
            begin = time.perf_counter()
            self.progress.start(f"literal reference, schedule {schedule}", len(self.clip))
            for index, frame in enumerate(self.clip):
                recorder.step(frame[None])
                self.progress.step("frames", index + 1, len(self.clip))
            recorder.finish()
            self.progress.finish("done", time.perf_counter() - begin)
        return RecordedReference(folder)

    def forget(self) -> None:
        """Frees the models."""
        self._models.clear()

    def bundle(self, schedule: str, profiles: Sequence[Profile]) -> Bundle:
        """The bundle of one schedule, with at least these targets."""
        return self._build(self.recipe(schedule), self.folder / f"{schedule}.v2v", profiles)

    def teacher(self, profile: Profile) -> Bundle:
        """The full teacher's bundle."""
        return self._build(teacher_recipe(self.recipe("shortcut")), self.folder / "full.v2v", [profile])

    def specs(self, schedule: str, profile: Profile) -> list[GraphSpec]:
        """The graphs of a profile's variant with float32 modules: they judge."""
        recipe = self.recipe(schedule)
        options = graph_options(profile, "onnxruntime", recipe.system)
        return list(self.model(schedule).graphs(dataclasses.replace(options, float="float32")))

    @contextmanager
    def tapped(self, schedule: str, bundle: Bundle, profile: Profile) -> Iterator[TappedStream]:
        """A stream of one target with its float pictures in reach."""
        target = bundle.target(f"{profile.name}.onnxruntime")
        with tempfile.TemporaryDirectory(prefix="tapped-", dir=self.folder) as folder:
            taps = tapped_copy(bundle, target, self.specs(schedule, profile), Path(folder, "tapped.v2v"))
            events: list[Event] = []
            with Stream(
                Bundle.open(taps.root),
                taps.target,
                # Threads that spin while they wait would take the cores from torch's.
                options={"spin": False},
                late="inline",
                trace=events.append,
            ) as stream:
                yield TappedStream(stream, events, taps)

    def _build(self, recipe: Recipe, out: Path, profiles: Sequence[Profile]) -> Bundle:
        build(recipe, out, profiles, store=self.store, progress=self.progress, verify=False)
        return Bundle.open(out, verify="sizes")

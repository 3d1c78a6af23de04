"""Bundles as users build them: the demo's, and any that ``V2V_BUNDLES`` names, ``:`` between them.

The demo's is built by its own recipe with the weights that ship, at half its height and width: a frame costs
a quarter, and graphs, program and trace are the same.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from support.both import Both
from support.cpp import Library
from support.players import Picture, Player
from support.recipes import built_unverified
from v2v_export.store import Store
from v2v_runtime.bundle import Bundle

FRAMES = 210
PICTURES = 40
REPORT = ("frames", "expected", "max_difference", "worst_frame", "tolerance", "passed")
NAMED = [path for path in os.environ.get("V2V_BUNDLES", "").split(":") if path]


class Clip:
    """Pictures over and over."""

    def __init__(self, pictures: list[Picture]) -> None:
        self._pictures = pictures
        self._taken = 0

    def next(self) -> Picture:
        self._taken += 1
        return self._pictures[self._taken % len(self._pictures)]


def play(library: Library, bundle: Bundle, pictures: list[Picture]) -> Both:
    """Plays ``FRAMES`` frames in both languages, everything else that a user may do between them."""
    both = Both(library, bundle)
    user = Player(both, Clip(pictures), seed=5)
    for index in range(FRAMES):
        user.step(index)
    assert len(user.done) == len(user.actions()), "the seed leaves something out: choose another"
    if bundle.manifest.selftest is not None:
        answers = both.do(both.python.selftest, both.cpp.selftest)
        assert answers is not None
        expected, report = answers
        assert [getattr(report, name) for name in REPORT] == [getattr(expected, name) for name in REPORT]
    both.close()
    return both


@pytest.fixture(scope="module")
def demo(library: Library, sanitizers: str, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    if sanitizers:
        pytest.skip(f"{sanitizers}: the exporter builds in the same process, minutes with them")
    pytest.importorskip("cv2")
    pytest.importorskip("skimage")
    from v2v_export.demo import HEIGHT, WIDTH
    from v2v_export.demo.run import DemoJob, write_recipe

    folder = tmp_path_factory.mktemp("demo")
    recipe = write_recipe(DemoJob(out=folder, size=(HEIGHT // 2, WIDTH // 2)))
    return built_unverified(folder, Store(folder / "cache"), recipe.read_text("utf-8"), "demo")


def test_the_demo_plays_the_same(demo: Bundle, library: Library) -> None:
    from v2v_export.demo.scenes import demo_clip

    (size,) = demo.manifest.program.inputs.values()
    both = play(library, demo, list(demo_clip(PICTURES, size.height, size.width)))
    assert both.shown >= 200
    assert {"V2V-E3002", "V2V-E3006", "V2V-E3010", "V2V-E3030"} <= set(both.codes)
    # What the trace, which both have told alike, saw of the program.
    kinds = Counter(json.loads(event)["event"] for event in both.events)
    assert set(kinds) == {"phase", "step", "late"}
    assert kinds["step"] >= 200
    assert demo.manifest.selftest is not None


@pytest.mark.parametrize("path", NAMED, ids=[Path(path).name for path in NAMED])
def test_named_bundles_play_the_same(path: str, library: Library) -> None:
    bundle = Bundle.open(path)
    (size,) = bundle.manifest.program.inputs.values()
    random = np.random.default_rng(1)
    shape = (size.height, size.width, 3)
    pictures = [random.integers(0, 256, shape, dtype=np.uint8) for _ in range(PICTURES)]
    assert play(library, bundle, pictures).shown > 0

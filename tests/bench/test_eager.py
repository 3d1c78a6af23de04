"""The eager side plays a program as the runtime does: phases, schedules, rings and views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.toy_system import HEIGHT, WIDTH, ToyModel, toy_bundle
from v2v_export.bench.eager import EagerSide, EagerStream
from v2v_export.clip import moving_frames
from v2v_runtime.stream import Stream


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy") / "toy.v2v"
    toy_bundle(root, ToyModel())
    return root


def test_it_shows_what_the_runtime_shows(bundle: Path) -> None:
    """Two phases, a ring that wraps, a call every third step: pictures and state, frame by frame."""
    eager = EagerStream(ToyModel())
    for _ in range(2):
        with Stream.open(bundle, late="inline") as stream:
            for frame in moving_frames(11, HEIGHT, WIDTH):
                (output,) = stream.push(frame)
                shown = eager.push(frame)
                assert shown is not None
                assert np.abs(shown[0].numpy().astype(int) - output.rgb8).max() <= 1
                for name, value in stream.slots().items():
                    assert np.abs(eager.values[name].numpy() - value).max() < 1e-5, name
        eager.reset()


def test_its_period_is_the_programs() -> None:
    assert EagerSide("eager", ToyModel()).period == 3

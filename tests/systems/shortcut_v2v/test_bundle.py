"""Whole bundles on ONNX Runtime: against the authors' own streams, and against the literal one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_data import golden_config, golden_folder, golden_tensors
from numpy.typing import NDArray
from support.recipes import built_unverified, recipe_text
from v2v_export.clip import moving_frames
from v2v_export.store import Store
from v2v_export.system import FrameSize
from v2v_export.systems.shortcut_v2v import SYSTEM
from v2v_export.systems.shortcut_v2v.model import Level
from v2v_export.systems.shortcut_v2v.options import ShortcutOptions
from v2v_export.systems.shortcut_v2v.reference import frame_kinds
from v2v_runtime import Bundle, Stream
from v2v_runtime.trace import PhaseEvent

SET = "shortcut_v2v"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """One cache for the module: bundles of one system share most of their stages."""
    return Store(tmp_path_factory.mktemp("store"))


def bundle_of(
    folder: Path,
    store: Store,
    weights: Mapping[str, str],
    size: tuple[int, int],
    options: Mapping[str, Any],
) -> Bundle:
    return built_unverified(folder, store, recipe_text(SET, size, weights, options))


def played(bundle: Bundle, frames: NDArray[np.uint8], trace: Any = None) -> NDArray[np.uint8]:
    """What the stream emits, one picture for each frame."""
    with Stream(bundle, trace=trace) as stream:
        shown = [picture for frame in frames for picture in stream.push(frame)]
        stream.slots()  # waits for the last late call
    assert [picture.timestamp for picture in shown] == list(range(len(frames)))
    return np.stack([picture.rgb8 for picture in shown])


def levels_apart(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> int:
    return int(np.abs(left.astype(int) - right.astype(int)).max())


def rgb8(pictures: Any) -> NDArray[np.uint8]:
    """[N, 3, H, W] in [-1, 1] to levels, as the published script saves them."""
    levels = (np.moveaxis(pictures.double().numpy(), 1, -1) + 1) / 2 * 255
    return levels.astype(np.uint8)


@pytest.mark.parametrize("key", ["alpha", "alpha_second"])
def test_bundle_of_golden_weights_shows_the_authors_frames(
    key: str, golden_level: Level, tmp_path: Path, store: Store
) -> None:
    config, data = golden_config(SET), golden_tensors(SET, "stream")
    interval = config["schedule"][key]
    frames = data["input_u8"].numpy()
    weights = {name: str(golden_folder(SET) / f"{name}.safetensors") for name in ("teacher", "shortcut")}
    mode = config["schedule"]["mode"]
    options = {"level": str(golden_level), "interval": interval, "schedule": mode}
    bundle = bundle_of(tmp_path, store, weights, frames.shape[1:3], options)
    expected = rgb8(data["output" if key == "alpha" else f"output_alpha{interval}"])
    shown = played(bundle, frames)[: len(expected)]
    assert levels_apart(shown, expected) <= 1
    # Truncation turns rounding noise into whole levels, but only where a value sits on an edge.
    assert np.mean(shown != expected) < 1e-3


def test_teacher_schedule_shows_the_teacher_at_refreshes(
    golden_level: Level, tmp_path: Path, store: Store
) -> None:
    config, data = golden_config(SET), golden_tensors(SET, "stream")
    interval = config["schedule"]["alpha"]
    frames = data["input_u8"].numpy()
    weights = {name: str(golden_folder(SET) / f"{name}.safetensors") for name in ("teacher", "shortcut")}
    options = {"level": str(golden_level), "interval": interval, "schedule": "teacher"}
    bundle = bundle_of(tmp_path, store, weights, frames.shape[1:3], options)
    shown = played(bundle, frames)
    kinds = frame_kinds(len(frames), interval, "teacher")
    teacher, output = rgb8(data["teacher"]), rgb8(data["output"])
    for index in range(min(len(teacher), len(output))):
        expected = teacher[index] if kinds[index] == "F" else output[index]
        assert levels_apart(shown[index], expected) <= 1, f"frame {index}, kind {kinds[index]}"


@pytest.mark.parametrize(
    ("level", "hidden", "interval", "schedule"),
    [
        ("low", 8, 2, "shortcut"),
        ("medium", 8, 4, "teacher"),
        ("high", 8, 1, "shortcut"),
        ("medium", 4, 1, "teacher"),
    ],
)
def test_every_level_plays_as_the_literal_stream(
    level: Any, hidden: int, interval: int, schedule: Any, tmp_path: Path, store: Store
) -> None:
    chosen = {"level": level, "interval": interval, "schedule": schedule}
    chosen |= {"ngf": 16, "n_blocks": 2, "hidden": hidden}
    weights = {"teacher": "random:3", "shortcut": "random:4"}
    size = FrameSize(32, 48)
    bundle = bundle_of(tmp_path, store, weights, (size.height, size.width), chosen)
    literal = SYSTEM.load(weights, ShortcutOptions(**chosen), size).reference()
    frames = moving_frames(7, size.height, size.width, seed=1)
    steps: list[Any] = []
    shown = played(bundle, frames, trace=steps.append)
    for index, frame in enumerate(frames):
        (expected,) = literal.step(frame[None])
        assert levels_apart(shown[index], expected.rgb8) <= 1, f"frame {index}"
    calls = {"F": ["full"], "S": ["shortcut"], "R": ["shortcut", "refresh"]}
    kinds = frame_kinds(len(frames), interval, schedule)
    ran = [name for event in steps if not isinstance(event, PhaseEvent) for name, _ in event.calls]
    assert ran == [name for kind in kinds for name in calls[kind]]


def test_state_is_the_rewritten_reference(tmp_path: Path, store: Store) -> None:
    """6.5 MB at 256x512 and h = 64, as the method computes it: here the same formula at a small size."""
    options = {"ngf": 16, "n_blocks": 2, "hidden": 8}
    weights = {"teacher": "random:3", "shortcut": "random:4"}
    bundle = bundle_of(tmp_path, store, weights, (32, 48), options)
    slots = bundle.manifest.program.slots
    values = sum(int(np.prod(slot.shape)) for slot in slots.values())
    height, width, h = 16, 24, 8
    assert values == 2 * h * (height // 2 + 2) * (width // 2 + 2) + h * (height // 2) * (width // 2)

from __future__ import annotations

import re
from typing import get_args

import numpy as np
import pytest
import torch
from golden_data import golden_config, golden_tensors
from v2v_export.system import FrameSize
from v2v_export.systems.shortcut_v2v import SYSTEM
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.errors import GeometryError, WeightsError
from v2v_export.systems.shortcut_v2v.model import Level, ResnetGenerator
from v2v_export.systems.shortcut_v2v.options import ShortcutOptions
from v2v_export.systems.shortcut_v2v.random_weights import random_block, random_teacher
from v2v_export.systems.shortcut_v2v.reference import ReferenceStream, Schedule, frame_kinds

CONFIG = golden_config("shortcut_v2v")
STREAM = golden_tensors("shortcut_v2v", "stream")
FLOORS = CONFIG["stream"]["fp32_vs_fp64_max_abs"]
FRAMES = list(STREAM["input_u8"].numpy())
ALPHA, ALPHA_2 = CONFIG["schedule"]["alpha"], CONFIG["schedule"]["alpha_second"]


def _frames(n: int, height: int = 16, width: int = 24, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8))


@pytest.mark.parametrize(
    ("interval", "schedule", "kinds"),
    [
        (3, "shortcut", "FSSRSSRS"),
        (3, "teacher", "FSSFSSFS"),
        (5, "shortcut", "FSSSSRSS"),
        (1, "shortcut", "FRRRRRRR"),
        (1, "teacher", "FFFFFFFF"),
    ],
)
def test_frame_kinds(interval: int, schedule: Schedule, kinds: str) -> None:
    assert "".join(frame_kinds(8, interval, schedule)) == kinds


def test_frame_kinds_of_the_golden_streams() -> None:
    schedule = CONFIG["schedule"]
    for key, interval, mode in (
        ("frame_kinds", ALPHA, schedule["mode"]),
        (f"frame_kinds_alpha{ALPHA_2}", ALPHA_2, schedule["mode"]),
        ("frame_kinds_teacher_mode", ALPHA, "teacher"),
    ):
        assert list(frame_kinds(len(schedule[key]), interval, mode)) == schedule[key]


@pytest.mark.parametrize(("key", "interval"), [("output", ALPHA), (f"output_alpha{ALPHA_2}", ALPHA_2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matches_golden_stream(
    key: str,
    interval: int,
    dtype: torch.dtype,
    golden_teacher: ResnetGenerator,
    golden_block: ShortcutBlock,
    golden_level: Level,
) -> None:
    stream = ReferenceStream(
        golden_teacher, golden_block, golden_level, interval, CONFIG["schedule"]["mode"], dtype
    )
    for index, wanted in enumerate(STREAM[key]):
        got = stream.step(FRAMES[index]).picture
        assert got.dtype == dtype
        difference = (got.double() - wanted.double()).abs().max().item()
        assert difference <= 10 * FLOORS[key], f"frame {index}"


def test_matches_golden_uint8_output(
    golden_teacher: ResnetGenerator, golden_block: ShortcutBlock, golden_level: Level
) -> None:
    # Truncation turns noise into a level where a value stands on an edge, and nowhere else.
    noise = 10 * FLOORS["output"] * 127.5
    stream = ReferenceStream(golden_teacher, golden_block, golden_level, ALPHA, CONFIG["schedule"]["mode"])
    for index, wanted in enumerate(STREAM["output_u8"].numpy()):
        got = stream.step(FRAMES[index]).rgb8
        exact = (STREAM["output"][index].permute(1, 2, 0).double().numpy() + 1) * 127.5
        assert np.all((np.floor(exact - noise) <= wanted) & (wanted <= np.floor(exact + noise)))
        assert np.all((np.floor(exact - noise) <= got) & (got <= np.floor(exact + noise)))


def test_matches_golden_features(
    golden_teacher: ResnetGenerator, golden_block: ShortcutBlock, golden_level: Level
) -> None:
    stored = {
        (int(match[1]), match[2]): tensor
        for key, tensor in STREAM.items()
        if (match := re.fullmatch(r"frame(\d+)\.(\w+)", key))
    }
    assert stored
    stream = ReferenceStream(golden_teacher, golden_block, golden_level, ALPHA, CONFIG["schedule"]["mode"])
    for index in range(max(index for index, _ in stored) + 1):
        reference = stream.reference
        features = stream.step(FRAMES[index]).features
        got = {"a": features.a, "f": features.f, "f_hat": features.f}
        if reference is not None:
            got["mask"] = golden_block.trace(reference[0], features.a, reference[1]).mask
        for name, tensor in got.items():
            if (index, name) in stored:
                wanted = stored.pop((index, name))
                torch.testing.assert_close(tensor, wanted, rtol=0, atol=10 * FLOORS["f_hat"])
    assert not stored


def test_teacher_schedule_shows_the_teacher_at_refreshes_and_nothing_else_changes(
    golden_teacher: ResnetGenerator, golden_block: ShortcutBlock, golden_level: Level
) -> None:
    stream = ReferenceStream(golden_teacher, golden_block, golden_level, ALPHA, "teacher")
    for index, frame in enumerate(FRAMES):
        shown = stream.step(frame)
        if shown.kind == "F" and index >= len(STREAM["teacher"]):
            continue
        wanted = STREAM["teacher" if shown.kind == "F" else "output"][index]
        torch.testing.assert_close(shown.picture, wanted, rtol=0, atol=10 * FLOORS["output"])


@pytest.mark.parametrize("level", list(Level))
def test_refresh_shows_the_old_reference_and_keeps_the_new(level: Level) -> None:
    teacher, channels = random_teacher(1, 8, 1), 8 * {"low": 1, "medium": 2, "high": 4}[level]
    stream = ReferenceStream(teacher, random_block(1, channels, 4), level, 2, "shortcut", torch.float64)
    split, block = stream.split, stream.block
    results = [stream.step(frame) for frame in _frames(4)]
    assert [result.kind for result in results] == ["F", "S", "R", "S"]
    a, f = (
        [split.encoder(_double(frame)) for frame in _frames(4)],
        [split.middle(split.encoder(_double(frame))) for frame in _frames(4)],
    )
    wanted = [f[0], block(a[0], a[1], f[0]), block(a[0], a[2], f[0]), block(a[2], a[3], f[2])]
    for result, feature in zip(results, wanted, strict=True):
        assert torch.equal(result.features.f, feature)
        assert torch.equal(result.picture, split.decoder(feature)[0])
    assert [result.features.teacher_f is not None for result in results] == [True, False, True, False]


def test_reset_forces_a_full_frame_and_forgets() -> None:
    stream = ReferenceStream(random_teacher(1, 4, 1), random_block(1, 8, 4))
    frames = _frames(3)
    first = [stream.step(frame) for frame in frames]
    stream.reset()
    again = [stream.step(frame) for frame in frames]
    assert [result.kind for result in again] == ["F", "S", "S"]
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.picture, other.picture)


def test_the_given_modules_are_left_alone() -> None:
    teacher, block = random_teacher(1, 4, 1).train(), random_block(1, 8, 4).train()
    ReferenceStream(teacher, block, dtype=torch.float64).step(_frames(1)[0])
    assert teacher.training
    assert block.training
    assert {parameter.dtype for parameter in [*teacher.parameters(), *block.parameters()]} == {torch.float32}


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((16, 24, 3), np.float32),
        np.zeros((16, 24, 4), np.uint8),
        np.zeros((24, 16, 3), np.uint8),
        np.zeros((18, 24, 3), np.uint8),
    ],
)
def test_a_refused_frame_changes_nothing(bad: np.ndarray) -> None:
    stream, other = (ReferenceStream(random_teacher(1, 4, 1), random_block(1, 8, 4)) for _ in range(2))
    frames = _frames(3)
    for frame in frames[:2]:
        stream.step(frame)
        other.step(frame)
    with pytest.raises(GeometryError, match=r"V2V-E601[05]"):
        stream.step(bad)
    assert torch.equal(stream.step(frames[2]).picture, other.step(frames[2]).picture)


@pytest.mark.parametrize("interval", [0, -1, 1.5, True])
def test_intervals_that_are_none(interval: object) -> None:
    with pytest.raises(GeometryError, match="V2V-E6014"):
        frame_kinds(3, interval, "shortcut")  # type: ignore[arg-type]  # the error is what is tested


@pytest.mark.parametrize("schedule", get_args(Schedule))
def test_intervals_longer_than_a_bundle_can_hold(schedule: Schedule) -> None:
    """The manifest's limit of a phase's period: 4096 steps."""
    assert frame_kinds(2, 4096, schedule) == ("F", "S")
    with pytest.raises(GeometryError, match=r"V2V-E6014.*interval 4097"):
        frame_kinds(2, 4097, schedule)


def test_a_model_refuses_an_endless_interval_before_anything_is_made() -> None:
    weights = {"teacher": "random:1", "shortcut": "random:2"}
    options = ShortcutOptions("medium", 1_000_000, "teacher", ngf=4, n_blocks=1, hidden=4)
    with pytest.raises(GeometryError, match=r"V2V-E6014.*interval 1000000"):
        SYSTEM.load(weights, options, FrameSize(32, 48))


def test_unknown_schedule() -> None:
    with pytest.raises(GeometryError, match=r"V2V-E6014.*(?s:.*)\"shortcut\" or \"teacher\""):
        frame_kinds(3, 3, "student")  # type: ignore[arg-type]  # the error is what is tested


def test_a_block_of_another_level_is_refused_with_the_level_that_fits() -> None:
    with pytest.raises(WeightsError, match=r"V2V-E6007.*(?s:.*)set the level to \"high\""):
        ReferenceStream(random_teacher(1, 4, 1), random_block(1, 16, 4), "medium")


def _double(frame: np.ndarray) -> torch.Tensor:
    return (torch.from_numpy(frame).double().permute(2, 0, 1)[None] / 255 - 0.5) / 0.5

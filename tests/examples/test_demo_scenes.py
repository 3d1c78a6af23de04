"""The scenes: known motion, equal for equal seeds, from photographs that need no download."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("skimage")

from v2v_export.demo.scenes import HELD_OUT, TRAINED, Drift, Shot, demo_clip, draw_shot, photograph

_STILL = Drift((0.0,), (0.0,), (0.0,))


def _held_at(value: float) -> Drift:
    """A drift that stands at ``value``: a sine of no frequency at its crest."""
    return Drift((value,), (0.0,), (np.pi / 2,))


@pytest.mark.parametrize("name", [*TRAINED, *HELD_OUT])
def test_photographs_load_from_the_wheel(name: str) -> None:
    picture = photograph(name)
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3


def test_nothing_is_both_trained_and_held_out() -> None:
    assert not set(TRAINED) & set(HELD_OUT)
    stills = {name: photograph(name) for name in (*TRAINED, *HELD_OUT)}
    for held in HELD_OUT:
        for trained in TRAINED:
            assert not np.array_equal(stills[held], stills[trained])


def test_a_clip_is_determined_by_its_seed() -> None:
    first, again = list(demo_clip(4, 64, 96, seed=3)), list(demo_clip(4, 64, 96, seed=3))
    assert len(first) == 4
    for one, other in zip(first, again, strict=True):
        assert one.shape == (64, 96, 3)
        assert one.dtype == np.uint8
        assert np.array_equal(one, other)
    assert not np.array_equal(first[0], next(iter(demo_clip(1, 64, 96, seed=5))))
    assert not np.array_equal(first[0], first[3])


def test_a_frame_can_be_drawn_alone() -> None:
    shot = draw_shot(photograph("coffee"), 64, 96, np.random.default_rng(0))
    assert np.array_equal(shot.frame(0), next(iter(demo_clip(1, 64, 96, seed=0))))
    assert np.array_equal(shot.frame(7), list(demo_clip(8, 64, 96, seed=0))[7])


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, -2), (-5, 4)])
def test_a_pan_by_whole_pixels_is_a_shifted_crop(dx: int, dy: int) -> None:
    picture = photograph("coffee")[:101, :151]
    shot = Shot(
        picture.astype(np.float32), 41, 61, (75.0, 50.0), _held_at(dx), _held_at(dy), _STILL, _STILL, None
    )
    assert np.array_equal(shot.frame(0.0), picture[30 + dy : 71 + dy, 45 + dx : 106 + dx])


def test_zoom_shows_a_larger_part_when_its_log_scale_grows() -> None:
    """A log scale of log 2 samples every second pixel."""
    picture = photograph("coffee")[:201, :301]
    shot = Shot(
        picture.astype(np.float32), 41, 61, (150.0, 100.0), _STILL, _STILL, _held_at(np.log(2)), _STILL, None
    )
    assert np.array_equal(shot.frame(0.0), picture[60:141:2, 90:211:2])


@pytest.mark.parametrize("seed", range(5))
def test_a_drift_keeps_its_bounds(seed: int) -> None:
    drift = Drift.draw(np.random.default_rng(seed), speed=1.5, reach=20.0)
    path = np.array([drift.at(t) for t in np.arange(0, 600, 0.25)])
    assert np.abs(path).max() <= 20.0 + 1e-9
    assert np.abs(np.diff(path)).max() <= 1.5 * 0.25 + 1e-9
    assert np.ptp(path) > 1.0


def test_the_ball_covers_and_uncovers() -> None:
    shot = draw_shot(photograph("coffee"), 96, 144, np.random.default_rng(0), speed=2.0)
    bare = Shot(shot.picture, 96, 144, shot.centre, shot.x, shot.y, shot.zoom, shot.angle, None)
    covered = [(shot.frame(t) != bare.frame(t)).any(axis=2) for t in (0, 20)]
    assert 0.01 < covered[0].mean() < 0.1
    assert (covered[0] & ~covered[1]).any()
    assert (covered[1] & ~covered[0]).any()

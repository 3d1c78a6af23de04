"""The look: a pure, stable function of a frame, with flat tones, ink and two palettes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("skimage")

from v2v_export.demo.look import comic
from v2v_export.demo.scenes import demo_clip


def _halves(left: tuple[int, int, int], right: tuple[int, int, int]) -> np.ndarray:
    frame = np.empty((64, 96, 3), np.uint8)
    frame[:, :48], frame[:, 48:] = left, right
    return frame


def test_is_a_pure_function_of_the_frame() -> None:
    frame = next(iter(demo_clip(1, 64, 96)))
    before = frame.copy()
    drawn = comic(frame)
    assert drawn.shape == frame.shape
    assert drawn.dtype == np.uint8
    assert np.array_equal(drawn, comic(frame))
    assert np.array_equal(frame, before)


def test_draws_ink_along_an_edge() -> None:
    drawn = comic(_halves((120, 120, 120), (200, 200, 200))).astype(int).sum(axis=2)
    edge, dark_side, light_side = drawn[32, 38:58].min(), drawn[32, 10], drawn[32, 86]
    assert dark_side < light_side
    assert edge < dark_side - 30


def test_warm_and_cool_parts_get_their_own_palette() -> None:
    # Both about equally light, so that only the palette tells them apart.
    drawn = comic(_halves((200, 100, 60), (90, 130, 190))).astype(int)
    warm, cool = drawn[32, 20], drawn[32, 76]
    assert warm[0] > warm[2] + 40
    assert cool[2] > cool[0] + 40


def test_a_flat_frame_stays_flat_under_noise() -> None:
    rng = np.random.default_rng(0)
    frame = np.clip(128 + rng.normal(0, 2, (64, 96, 3)), 0, 255).astype(np.uint8)
    assert comic(frame).astype(float).std(axis=(0, 1)).max() < 12


def test_sensor_noise_moves_the_picture_little() -> None:
    frame = next(iter(demo_clip(1, 128, 192, seed=1)))
    rng = np.random.default_rng(0)
    noisy = np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8)
    error = (comic(frame).astype(float) - comic(noisy)) ** 2
    assert 10 * np.log10(255**2 / error.mean()) > 24

"""What pictures say: PSNR and warp error by hand, and losses in words."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from support.negative import write_negative
from v2v_export.compare import CompareJob, Limits, Verdict, run_compare
from v2v_export.compare.quality import (
    PAN,
    Quality,
    decibels,
    measure_quality,
    output_motion,
    panned,
    warp_error,
    worse,
)
from v2v_export.compare.rounds import Pace
from v2v_export.compare.side import Worker, worker_command
from v2v_export.progress import SilentProgress
from v2v_runtime.bundle import Bundle
from v2v_runtime.manifest.model import FrameSpec

GOOD = Quality(psnr=42.0, levels=1, tolerance=1, frames=4, expected=4, warp_error=1.0)
PICTURES = np.random.default_rng(0).integers(10, 250, (3, 16, 24, 3), np.uint8)


def test_a_panned_picture_moves_by_whole_pixels() -> None:
    views = panned(5, 12, 20)
    assert views.shape == (5, 12, 20, 3)
    down, right = PAN
    for before, here in pairwise(views):
        np.testing.assert_array_equal(here[down:, right:], before[:-down, :-right])
    assert np.abs(views[1].astype(int) - views[0]).mean() > 1, "it does move"


def test_the_warp_error_of_a_still_stream_is_zero_and_of_a_flickering_one_is_the_flicker() -> None:
    views = panned(5, 12, 20) // 2 + 40
    assert warp_error(views, PAN) == 0
    flicker = np.array([0, 6, 0, 6, 0], np.uint8)[:, None, None, None]
    assert warp_error(views + flicker, PAN) == pytest.approx(6)
    assert warp_error(views[:1], PAN) is None


def test_motion_in_pixels_of_the_output() -> None:
    size = FrameSpec(12, 20)
    assert output_motion(size, size) == PAN
    assert output_motion(size, FrameSpec(24, 40)) == (2 * PAN[0], 2 * PAN[1])
    assert output_motion(size, FrameSpec(9, 15)) is None


def test_decibels_by_hand() -> None:
    """One value of four off by 10: mean square 25, 10 log10(65025 / 25) = 34.15 dB."""
    expected = np.full((1, 2, 2, 1), 100, np.uint8)
    made = expected.copy()
    made[0, 0, 0, 0] = 110
    assert decibels(made, expected) == pytest.approx(10 * math.log10(65025 / 25))
    assert decibels(expected, expected) is None


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (replace(GOOD, psnr=41.0), "PSNR"),
        (replace(GOOD, levels=3), "off by up to 3 levels, allowed 1"),
        (replace(GOOD, frames=3), "3 of 4"),
        (replace(GOOD, warp_error=1.2), "flickers"),
    ],
)
def test_each_loss_is_told(head: Quality, words: str) -> None:
    (told,) = worse(GOOD, head)
    assert words in told


@pytest.mark.parametrize(
    "head",
    [
        GOOD,
        replace(GOOD, psnr=41.6),
        replace(GOOD, psnr=None, levels=0),
        replace(GOOD, warp_error=1.14),
        replace(GOOD, warp_error=None),
    ],
)
def test_small_changes_and_better_pictures_are_no_loss(head: Quality) -> None:
    assert worse(GOOD, head) == []


def test_equal_pictures_count_as_60_decibels() -> None:
    equal = replace(GOOD, psnr=None, levels=0)
    assert worse(equal, replace(GOOD, psnr=61.0)) == []
    assert len(worse(equal, replace(GOOD, psnr=50.0))) == 1


def test_of_a_real_stream(tmp_path: Path) -> None:
    """It shows negatives: its self-test frames are met, and negatives of a panned picture pan."""
    root = write_negative(tmp_path / "negative.v2v", PICTURES)
    with Worker("it", worker_command(root, None, None)) as worker:
        worker.hello()
        found = measure_quality(worker, Bundle.open(root), tmp_path)
    assert found == Quality(psnr=None, levels=0, tolerance=0, frames=3, expected=3, warp_error=0.0)


def test_wrong_pictures_fail_a_comparison_whatever_the_times_say(tmp_path: Path) -> None:
    base = write_negative(tmp_path / "base.v2v", PICTURES)
    head = write_negative(tmp_path / "head.v2v", PICTURES, wrong=4)
    job = CompareJob(
        lambda clip: worker_command(base, None, clip, (sys.executable,)),
        lambda clip: worker_command(head, None, clip, (sys.executable,)),
        bundles=(base, head),
        rounds=8,
        pace=Pace(cycles=1, turn_seconds=0.001),
        limits=Limits(foreign=1e9, noise=1e9, fail=0.99, least=0.9),
    )
    report = run_compare(job, SilentProgress())
    assert report.verdict is Verdict.FAIL
    assert "off by up to 4 levels" in "\n".join(report.lines())
    assert report.as_dict()["quality"]["head"]["levels"] == 4

"""What pictures say: PSNR and warp error by hand, and losses in words."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from support.negative import write_negative
from v2v_export.compare import CompareJob, CompareReport, Limits, Verdict, run_compare
from v2v_export.compare.page import cases
from v2v_export.compare.quality import (
    PAN,
    Apart,
    Quality,
    decibels,
    measure_apart,
    measure_quality,
    output_motion,
    panned,
    warp_error,
    worse,
)
from v2v_export.compare.rounds import Pace
from v2v_export.compare.side import Worker, worker_command
from v2v_export.errors import V2VError
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
        (replace(GOOD, frames=3), "makes 3 pictures of 4 self-test frames"),
        (replace(GOOD, frames=5), "makes 5 pictures of 4 self-test frames"),
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


def compared(base: Path, head: Path, **more: Any) -> CompareReport:
    """Short rounds, in which no time decides anything."""
    job = CompareJob(
        lambda clip: worker_command(base, None, clip, (sys.executable,)),
        lambda clip: worker_command(head, None, clip, (sys.executable,)),
        bundles=(base, head),
        rounds=12,
        pace=Pace(cycles=1, turn_seconds=0.001),
        limits=Limits(foreign=1e9, noise=1e9, fail=0.99, least=0.9),
        **more,
    )
    return run_compare(job, SilentProgress())


def test_wrong_pictures_fail_a_comparison_whatever_the_times_say(tmp_path: Path) -> None:
    base = write_negative(tmp_path / "base.v2v", PICTURES)
    report = compared(base, write_negative(tmp_path / "head.v2v", PICTURES, wrong=4))
    assert report.verdict is Verdict.FAIL
    assert "off by up to 4 levels" in "\n".join(report.lines())
    assert report.as_dict()["quality"]["head"]["levels"] == 4


def test_a_head_of_wrong_graphs_fails_although_its_own_self_test_holds(tmp_path: Path) -> None:
    """It shows black only, and the reference that came with it does too: only the base knows better."""
    base = write_negative(tmp_path / "base.v2v", PICTURES, tolerance=2)
    head = write_negative(tmp_path / "head.v2v", PICTURES, black=True, tolerance=200)
    negatives = 255 - PICTURES.astype(np.float64)
    psnr = 10 * math.log10(255**2 / np.mean(negatives**2))
    report = compared(base, head)
    assert report.verdict is Verdict.FAIL
    assert report.quality is not None
    assert worse(*report.quality) == [], "each side by itself is as its own reference"
    assert report.losses == [
        "the head's pictures of the base's self-test frames leave the base's: "
        f"up to {int(negatives.max())} levels ({psnr:.1f} dB), allowed 2"
    ]
    assert report.as_dict()["quality"]["head_against_base"]["levels"] == negatives.max()
    assert "leave the base's" in str(cases(report)[1].failure)


def test_a_side_is_held_to_the_tolerance_of_its_own_float_type(tmp_path: Path) -> None:
    """Four levels off: too many for float32, few enough for float16."""
    allowed = {"float32": 1, "float16": 30}
    base = write_negative(tmp_path / "base.v2v", PICTURES, tolerance=allowed)
    exact = write_negative(tmp_path / "exact.v2v", PICTURES, tolerance=allowed, wrong=4)
    report = compared(base, exact)
    assert "the head's self-test frames are off by up to 4 levels, allowed 1" in report.losses
    half = write_negative(tmp_path / "half.v2v", PICTURES, tolerance=allowed, wrong=4, float_type="float16")
    with Worker("it", worker_command(half, None, None)) as worker:
        worker.hello()
        found = measure_quality(worker, Bundle.open(half), tmp_path)
    assert (found.levels, found.tolerance) == (4, 30)


@pytest.mark.parametrize(
    ("float_types", "expected"),
    [(("float32", "float32"), 2), (("float32", "float16"), 6), (("float16", "float32"), 6)],
)
def test_two_sides_may_be_as_far_apart_as_the_coarser_of_their_float_types(
    tmp_path: Path, float_types: tuple[Literal["float16", "float32"], ...], expected: int
) -> None:
    """By the base's bundle: what the head's allows itself counts for nothing."""
    base, head = (
        write_negative(
            tmp_path / name,
            PICTURES,
            float_type=float_type,
            tolerance={"float32": 2 * more, "float16": 6 * more},
        )
        for name, float_type, more in zip(("base.v2v", "head.v2v"), float_types, (1, 10), strict=True)
    )
    assert apart_of(base, head, tmp_path).tolerance == expected


ONE_MORE = """
import sys
import numpy as np
from v2v_runtime.bench_worker import Player, main

class Repeats(Player):
    def emit(self, to, clip):
        super().emit(to, clip)
        pictures = np.load(to)
        if len(pictures) == 3:  # the self-test's; a panned picture goes on panning
            np.save(to, np.concatenate([pictures, pictures[-1:]]))
        return {"emitted": len(pictures) + 1}

sys.exit(main(make=Repeats))
"""


def test_a_picture_too_many_is_a_loss_with_both_numbers(tmp_path: Path) -> None:
    """The last picture comes twice: all that the self-test knows of are as they should be."""
    base = write_negative(tmp_path / "base.v2v", PICTURES)
    script = tmp_path / "one_more.py"
    script.write_text(ONE_MORE)
    job = CompareJob(
        lambda clip: worker_command(base, None, clip),
        lambda clip: (sys.executable, str(script), str(base)),
        bundles=(base, base),
        rounds=12,
        pace=Pace(cycles=1, turn_seconds=0.001),
        limits=Limits(foreign=1e9, noise=1e9, fail=0.99, least=0.9),
    )
    report = run_compare(job, SilentProgress())
    assert report.verdict is Verdict.FAIL
    assert report.losses == [
        "the head makes 4 pictures of 3 self-test frames",
        "the head makes 4 pictures of the base's self-test frames, the base 3",
    ]


NO_PICTURES = """
import sys
import numpy as np
from v2v_runtime.bench_worker import Player, main

class Odd(Player):
    def emit(self, to, clip):
        {act}
        return {{"emitted": 3}}

sys.exit(main(make=Odd))
"""


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("pass", "left no pictures"),
        ("np.save(to, np.zeros((3, 16, 24, 3), np.float32))", "made float32 [3, 16, 24, 3]"),
        ("np.save(to, np.zeros((3, 16, 25, 3), np.uint8))", "made uint8 [3, 16, 25, 3]"),
        ("open(to, 'w').write('pictures')", "left no pictures"),
    ],
)
def test_a_worker_that_makes_no_pictures_is_told(tmp_path: Path, act: str, words: str) -> None:
    root = write_negative(tmp_path / "negative.v2v", PICTURES)
    script = tmp_path / "odd.py"
    script.write_text(NO_PICTURES.format(act=act))
    with Worker("it", (sys.executable, str(script), str(root))) as worker:
        worker.hello()
        with pytest.raises(V2VError, match="E8203") as error:
            measure_quality(worker, Bundle.open(root), tmp_path)
    assert words in str(error.value)


def test_pictures_that_are_meant_to_change_are_told_and_not_judged(tmp_path: Path) -> None:
    base = write_negative(tmp_path / "base.v2v", PICTURES)
    head = write_negative(tmp_path / "head.v2v", PICTURES, black=True)
    report = compared(base, head, pictures_may_differ=True)
    assert report.losses == []
    assert report.verdict is not Verdict.FAIL
    text = "\n".join(report.lines())
    assert "differ from the base's by up to 245 levels" in text
    assert "they are meant to (--pictures-may-differ)" in text


def apart_of(base: Path, head: Path, folder: Path, clip: Any = None) -> Apart:
    with (
        Worker("base", worker_command(base, None, None)) as one,
        Worker("head", worker_command(head, None, None)) as other,
    ):
        one.hello()
        other.hello()
        return measure_apart((one, other), (Bundle.open(base), Bundle.open(head)), clip, folder)


def test_the_clip_that_both_sides_show(tmp_path: Path) -> None:
    """A given one, cut to the self-test's three frames; the head's where the base has none; else the pan."""
    base = write_negative(tmp_path / "base.v2v", PICTURES)
    bare = write_negative(tmp_path / "bare.v2v", PICTURES, selftest=False)
    dark = write_negative(tmp_path / "dark.v2v", PICTURES, black=True, selftest=False)
    clip = np.full((5, 16, 24, 3), 155, np.uint8)
    assert apart_of(base, dark, tmp_path, clip) == Apart(
        "the given clip", 3, 3, 10 * math.log10(255**2 / 100**2), 100, 0
    )
    equal = apart_of(bare, base, tmp_path)
    assert equal == Apart("the head's self-test frames", 3, 3, None, 0, 0)
    assert str(equal).endswith("equal the base's")
    found = apart_of(bare, dark, tmp_path)
    assert (found.clip, found.tolerance, found.loss) == ("a moving picture", None, None)
    assert "not judged" in str(found)


def test_fewer_pictures_than_the_base_makes_are_a_loss() -> None:
    lost = Apart("the given clip", 4, 3, None, 0, 1).loss
    assert lost == "the head makes 3 pictures of the given clip, the base 4"


def test_a_head_that_lost_its_self_test_has_lost_something() -> None:
    none = replace(GOOD, psnr=None, levels=None, tolerance=None, frames=0, expected=0)
    (told,) = worse(GOOD, none)
    assert "no self-test frames" in told
    assert worse(none, GOOD) == []
    assert worse(none, replace(GOOD, psnr=20.0)) == [], "there is nothing of the base's to hold it to"

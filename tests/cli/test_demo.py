"""The demo at a small size with random weights: every file that it promises, and numbers computed apart."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from v2v_export.cli import main
from v2v_export.demo import run as demo
from v2v_export.progress import SilentProgress
from v2v_export.recipe import load_recipe
from v2v_runtime.bundle import Bundle
from v2v_runtime.video import VideoReader

SIZE, FRAMES = (32, 48), 8


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, demo.DemoReport]:
    root = tmp_path_factory.mktemp("demo")
    job = demo.DemoJob(
        out=root / "out",
        frames=FRAMES,
        size=SIZE,
        teacher="random:3",
        shortcut="random:3",
        options={"ngf": "4", "n_blocks": "1"},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("V2V_CACHE", str(root / "cache"))
        report = demo.run_demo(job, SilentProgress())
    return root / "out", report


def test_videos_and_still_hold_what_they_say(shown: tuple[Path, demo.DemoReport]) -> None:
    out, report = shown
    assert report.frames == FRAMES
    with VideoReader(out / "translated.mp4") as reader:
        assert (reader.info.height, reader.info.width) == SIZE
        assert len(list(reader)) == FRAMES
    with VideoReader(out / "side_by_side.mp4") as reader:
        panels = list(reader)
    still = cv2.imread(str(out / "side_by_side.png"))
    assert len(panels) == FRAMES
    assert panels[0].rgb.shape == still.shape
    # Three pictures and two gaps in a row, a strip with names above.
    assert still.shape[1] == 3 * SIZE[1] + 2 * 4
    assert still.shape[0] > SIZE[0]


def test_the_folder_builds_again_by_itself(shown: tuple[Path, demo.DemoReport]) -> None:
    out, _ = shown
    recipe = load_recipe(out / "v2v.toml")
    assert (recipe.size.height, recipe.size.width) == SIZE
    assert recipe.profiles == ("cpu",)
    assert Bundle.open(out / "demo.v2v").target("cpu").status == "verified"
    assert set(Bundle.open(out / "teacher.v2v").manifest.graphs) == {"teacher"}


def test_psnr_is_what_pytorch_makes_of_the_same_video(shown: tuple[Path, demo.DemoReport]) -> None:
    """From the literal stream and the literal teacher, without any bundle."""
    out, report = shown
    recipe = load_recipe(out / "v2v.toml")
    model = recipe.system.load(recipe.weights, recipe.options, recipe.size)
    whole = model.teacher()
    assert whole is not None
    mine, other = model.reference(), whole.reference()
    scores = []
    with VideoReader(out / "input.mp4") as reader:
        for frame in reader:
            (a,), (b,) = mine.step(frame.rgb[None]), other.step(frame.rgb[None])
            error = np.mean((a.rgb8.astype(float) - b.rgb8.astype(float)) ** 2)
            scores.append(10 * math.log10(255**2 / error) if error else math.inf)
    # Frame 0 is the teacher's own in both.
    assert math.isinf(scores[0])
    assert report.compared == FRAMES - 1
    # Levels may differ by one between two correct evaluations.
    assert report.psnr == pytest.approx(np.mean(scores[1:]), abs=0.1)
    assert report.psnr_worst == pytest.approx(min(scores[1:]), abs=0.1)


def test_speed_up_comes_from_turns(shown: tuple[Path, demo.DemoReport]) -> None:
    _, report = shown
    assert (report.speed_up.side, report.speed_up.against) == ("stream", "full teacher")
    assert report.speed_up.blocks == 10
    assert report.stream.frames == report.teacher.frames == 60
    json.dumps(report.as_dict(), default=str, allow_nan=False)


def test_a_bad_video_is_told_before_anything_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "notes.txt"
    source.write_text("no video at all\n" * 50)
    assert main(["demo", "--out", str(tmp_path / "out"), "--input", str(source)]) == 1
    assert "V2V-E9003" in capsys.readouterr().err
    assert not (tmp_path / "out" / "demo.v2v").exists()


def test_without_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "skimage" else known(name, *more)
    )
    monkeypatch.delitem(sys.modules, "v2v_export.demo.run", raising=False)
    assert main(["demo", "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "V2V-E9120" in error
    assert "v2v-export[cpu,demo]" in error

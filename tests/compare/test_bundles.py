"""Two bundles and one clip: what each side is given to play, and what the report and the page say of it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.negative import write_negative
from v2v_export.compare import CompareJob, CompareReport, Limits
from v2v_export.compare.bundles import compare_bundles
from v2v_export.compare.page import write_page
from v2v_export.compare.rounds import Pace
from v2v_export.errors import V2VError
from v2v_export.progress import SilentProgress

FAKE = Path(__file__).with_name("fake_worker.py")
PICTURES = np.random.default_rng(0).integers(10, 240, (3, 16, 24, 3), np.uint8)
OTHERS = np.random.default_rng(1).integers(10, 240, (2, 16, 24, 3), np.uint8)


class Played:
    """The clips that the two sides' commands are given."""

    def __init__(self) -> None:
        self.clips: dict[str, np.ndarray[Any, np.dtype[np.uint8]]] = {}

    def command(self, name: str) -> Any:
        def made(clip: Path | None) -> list[str]:
            assert clip is not None, f"the {name} plays what it has by itself"
            self.clips[name] = np.load(clip)
            return [sys.executable, "-S", str(FAKE), json.dumps({"name": name})]

        return made

    def compare(self, base: Path, head: Path, clip: Any = None, **more: Any) -> CompareReport:
        job = CompareJob(
            self.command("base"),
            self.command("head"),
            rounds=12,
            pace=Pace(cycles=1, turn_seconds=0.05),
            limits=Limits(foreign=1e9),
            **more,
        )
        return compare_bundles(base, head, job, SilentProgress(), clip)


@pytest.mark.parametrize(
    ("base_test", "head_test", "clip", "name"),
    [
        (True, True, PICTURES, "the base's self-test frames"),
        (True, False, PICTURES, "the base's self-test frames"),
        (False, True, OTHERS, "the head's self-test frames"),
    ],
)
def test_both_sides_play_one_clip(
    tmp_path: Path, base_test: bool, head_test: bool, clip: Any, name: str
) -> None:
    """A head with new self-test frames, or without any, is given what the base plays."""
    base = write_negative(tmp_path / "base.v2v", PICTURES, selftest=base_test)
    head = write_negative(tmp_path / "head.v2v", OTHERS, selftest=head_test)
    played, out, page = Played(), tmp_path / "report.json", tmp_path / "page.html"
    report = played.compare(base, head, out=out)
    for given in played.clips.values():
        np.testing.assert_array_equal(given, clip)
    assert sorted(played.clips) == ["base", "head"]
    sha256 = hashlib.sha256(clip.tobytes()).hexdigest()
    told = json.loads(out.read_text())
    assert told["complete"]
    assert told["clip"] == {"name": name, "frames": len(clip), "sha256": sha256}
    words = f"both played {name}, {len(clip)} frames, sha256 {sha256[:12]}"
    assert words in "\n".join(report.lines())
    write_page(page, report)
    assert words.replace("'", "&#x27;") in page.read_text()


def test_without_any_self_test_both_play_a_picture_that_moves(tmp_path: Path) -> None:
    bundle = write_negative(tmp_path / "base.v2v", PICTURES, selftest=False)
    played = Played()
    report = played.compare(bundle, bundle)
    np.testing.assert_array_equal(played.clips["base"], played.clips["head"])
    assert played.clips["base"].shape == (8, 16, 24, 3)
    assert all((one != other).any() for one, other in pairwise(played.clips["base"]))
    assert "both played a moving picture, 8 frames" in "\n".join(report.lines())


def test_a_clip_that_is_given_is_played_by_both(tmp_path: Path) -> None:
    base = write_negative(tmp_path / "base.v2v", PICTURES)
    played = Played()
    report = played.compare(base, base, lambda bundle: OTHERS)
    for given in played.clips.values():
        np.testing.assert_array_equal(given, OTHERS)
    assert "both played the given clip, 2 frames" in "\n".join(report.lines())


def test_other_sizes_are_told_before_a_clip_is_made_for_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip fits one of them at most: a worker could only say that it does not fit."""
    base = write_negative(tmp_path / "base.v2v", PICTURES)
    head = write_negative(tmp_path / "head.v2v", PICTURES[:, :8])
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a worker was started"))
    for clip in (None, lambda bundle: pytest.fail("a clip was made")):
        with pytest.raises(V2VError, match="V2V-E8206") as error:
            Played().compare(base, head, clip)
        assert "frames: 24 x 16 and 24 x 8" in str(error.value)

"""The synthetic clip that programs are tested with."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
from v2v_export.clip import clip_of, moving_frames
from v2v_runtime.manifest.model import Emit, FrameSpec, Phase, Program, Skip

SIZE = FrameSpec(8, 12)


def program(phase: Phase) -> Program:
    return Program({"frame": SIZE}, {"frame": SIZE}, (phase,), max_frames=1)


def test_the_clip_is_the_same_in_another_process() -> None:
    code = (
        "import hashlib; from v2v_export.clip import moving_frames;"
        "print(hashlib.sha256(moving_frames(3, 16, 24).tobytes()).hexdigest())"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert made.stdout.strip() == hashlib.sha256(moving_frames(3, 16, 24).tobytes()).hexdigest()


def test_the_clip_moves_and_has_detail() -> None:
    clip = moving_frames(6, 64, 96).astype(int)
    steps = np.abs(np.diff(clip, axis=0)).mean(axis=(1, 2, 3))
    assert (steps > 1).all()
    assert (np.abs(np.diff(clip, axis=2)).max(axis=(1, 2, 3)) > 60).all(), "hard edges"
    assert clip.std() > 20
    assert clip.min() < 60 < 200 < clip.max()


def test_a_longer_clip_begins_with_the_shorter() -> None:
    np.testing.assert_array_equal(moving_frames(5, 8, 12)[:3], moving_frames(3, 8, 12))


def test_a_clip_repeats_frames_only_where_they_may_be_skipped() -> None:
    plain = Phase("stream", "forever", (), emit=Emit("out"))
    skipping = Phase("stream", "forever", (), emit=Emit("out"), skip=Skip("flag", "x"))
    moving = clip_of(program(plain), 9)
    assert np.array_equal(moving, moving_frames(9, 8, 12))
    shown = clip_of(program(skipping), 9)
    assert np.array_equal(shown, moving[[0, 1, 2, 2, 3, 4, 4, 5, 6]])
    assert np.array_equal(clip_of(program(skipping), 4), shown[:4])
    assert len(clip_of(program(skipping), 0)) == 0

"""The weights that ship with the package: small, of the published names, and as good as their record says."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("cv2")
pytest.importorskip("skimage")

from v2v_export.demo import BLOCK_WEIGHTS, HEIGHT, INTERVAL, LEVEL, TEACHER_WEIGHTS, WIDTH
from v2v_export.demo.scenes import demo_clip
from v2v_export.systems.shortcut_v2v.pictures import to_tensor
from v2v_export.systems.shortcut_v2v.weights import load_block, load_teacher, read_tensors

_DEMO = Path(__file__).parents[2] / "examples" / "demo"


def test_together_they_stay_within_two_megabytes() -> None:
    assert TEACHER_WEIGHTS.stat().st_size + BLOCK_WEIGHTS.stat().st_size <= 2_000_000


def test_they_are_half_precision_under_the_published_names() -> None:
    teacher, block = read_tensors(TEACHER_WEIGHTS), read_tensors(BLOCK_WEIGHTS)
    assert {tensor.dtype for tensor in (*teacher.values(), *block.values())} == {torch.float16}
    assert {"model.1.weight", "model.10.conv_block.1.weight", "model.15.conv_block.5.bias"} <= set(teacher)
    assert {"cr1.0.weight", "mask_deform_conv.regular_conv.weight", "recon_ref.bias"} <= set(block)
    # 6 blocks, ngf 16: the published architecture's 7.8 M parameters at a quarter of the width.
    assert sum(tensor.numel() for tensor in teacher.values()) == 494_083


def test_the_stream_is_as_near_the_teacher_as_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(_DEMO))
    measure = importlib.import_module("quality").measure
    record = json.loads((_DEMO / "quality.json").read_text())
    assert (record["height"], record["width"], record["interval"]) == (HEIGHT, WIDTH, INTERVAL)
    teacher, block = load_teacher(TEACHER_WEIGHTS), load_block(BLOCK_WEIGHTS)
    short = measure(teacher, block, LEVEL, INTERVAL, 7, (HEIGHT, WIDTH))
    assert short["stream_vs_teacher_mean"] >= 32
    for name, clip in short["clips"].items():
        assert clip["stream_vs_teacher"]["mean"] == pytest.approx(
            record["clips"][name]["stream_vs_teacher"]["mean"], abs=2.0
        )
        assert clip["teacher_vs_look"]["mean"] >= 22


def test_the_block_needs_its_reference() -> None:
    """With another scene's reference the picture falls apart: the block is no second teacher."""
    teacher, block = load_teacher(TEACHER_WEIGHTS), load_block(BLOCK_WEIGHTS)
    split = teacher.split(LEVEL)
    own, current = (to_tensor(frame) for frame in demo_clip(2, HEIGHT, WIDTH, seed=0))
    foreign = to_tensor(next(iter(demo_clip(1, HEIGHT, WIDTH, seed=1))))
    with torch.no_grad():
        a = split.encoder(current)
        true = split.decoder(split.middle(a))
        error = []
        for reference in (own, foreign):
            a_r = split.encoder(reference)
            shown = split.decoder(block(a_r, a, split.middle(a_r)))
            error.append(torch.mean((shown - true) ** 2).item())
    assert error[1] > 20 * error[0]

"""The demo's training script: what it writes, and the two exact steps inside it."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")
pytest.importorskip("skimage")

from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.model import InstanceNorm, ResnetGenerator
from v2v_export.systems.shortcut_v2v.weights import load_block, load_teacher

_DEMO = Path(__file__).parents[2] / "examples" / "demo"
_TINY = ["--minutes", "0.01", "--height", "64", "--width", "96", "--frames", "5", "--threads", "1"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``train.py`` as it is when it runs as a script: its folder comes first on the path."""
    monkeypatch.syspath_prepend(str(_DEMO))
    before, threads = set(sys.modules), torch.get_num_threads()
    yield importlib.import_module("train")
    torch.set_num_threads(threads)
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == _DEMO:
            del sys.modules[name]


def _run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--out", str(out), *_TINY])
    script.main()


def test_writes_weights_log_and_quality(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "made"
    _run(script, monkeypatch, out)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["made"]
    assert sorted(item.name for item in out.iterdir()) == [
        "quality.json",
        "shortcut.safetensors",
        "teacher.safetensors",
        "training.jsonl",
    ]
    assert load_teacher(out / "teacher.safetensors").ngf == 16
    assert load_block(out / "shortcut.safetensors").feat_ch == 32
    lines = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == {"teacher", "block"}
    assert all(np.isfinite(value) for line in lines for key, value in line.items() if key != "stage")
    quality = json.loads((out / "quality.json").read_text())
    assert set(quality["clips"]) == {"coffee", "chelsea"}
    # 5 frames at interval 3 are F S S R S.
    assert set(quality["clips"]["coffee"]["stream_vs_teacher"]) == {"mean", "worst", "R", "S"}


def test_a_run_that_fails_leaves_no_result(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "train_teacher", lambda *_: None)
    monkeypatch.setattr(script, "train_block", lambda *_: None)
    monkeypatch.setattr(script, "measure", fail)
    with pytest.raises(KeyboardInterrupt):
        _run(script, monkeypatch, tmp_path / "made")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["made.partial"]


def test_refuses_to_write_over_a_result(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("")
    with pytest.raises(SystemExit, match="exists"):
        _run(script, monkeypatch, tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["kept"]


def test_balancing_the_features_changes_no_picture(script: ModuleType) -> None:
    torch.manual_seed(0)
    teacher, block = ResnetGenerator(8), ShortcutBlock(16, 8)
    script.start_block(block)
    frames = torch.rand(3, 3, 32, 48) * 2 - 1
    split = teacher.split("medium")

    def pictures() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            a = split.encoder(frames)
            f = split.middle(a)
            return f, split.decoder(f), split.decoder(block(a[:1], a[1:2], f[:1]))

    # Without the eps of InstanceNorm the two are equal but for rounding.
    for module in teacher.modules():
        if isinstance(module, InstanceNorm):
            module.eps = 0.0
    _, teacher_before, stream_before = pictures()
    script.balance_features(teacher, block, frames)
    f, teacher_after, stream_after = pictures()
    assert f.std().item() == pytest.approx(0.15, rel=1e-4)
    assert torch.allclose(teacher_before, teacher_after, atol=1e-4)
    assert torch.allclose(stream_before, stream_after, atol=1e-4)


def test_the_learning_rate_rises_then_falls_to_the_end(script: ModuleType) -> None:
    budget = script.Budget(100.0, 1e-3)
    rates = [budget.rate(t) for t in range(101)]
    assert rates[0] < 1e-5
    assert max(rates) == pytest.approx(1e-3, rel=0.02)
    assert rates.index(max(rates)) == 3
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[100] < 1e-5


def test_training_data_is_determined_by_the_generator(script: ModuleType) -> None:
    data = importlib.import_module("training_data")
    frames, looks = data.look_clips(np.random.default_rng(1), [1, 3], 32, 48, (64, 96))
    again, _ = data.look_clips(np.random.default_rng(1), [1, 3], 32, 48, (64, 96))
    assert frames.shape == looks.shape == (2, 2, 3, 32, 48)
    assert torch.equal(frames, again)
    assert not torch.equal(frames[0, 0], frames[0, 1])
    assert data.to_unit(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]

"""The demo's training script: what it writes, and the exact steps inside it."""

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

from v2v_export.demo import TEACHER_WEIGHTS
from v2v_export.systems.shortcut_v2v.block import ShortcutBlock
from v2v_export.systems.shortcut_v2v.weights import load_block, load_teacher, read_tensors

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


def _run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, out: Path, *more: str) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--out", str(out), *_TINY, *more])
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
    block = load_block(out / "shortcut.safetensors")
    assert (block.feat_ch, block.h) == (64, 32)
    lines = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == {"teacher", "block"}
    assert all(np.isfinite(value) for line in lines for key, value in line.items() if key != "stage")
    quality = json.loads((out / "quality.json").read_text())
    assert set(quality["clips"]) == {"coffee", "chelsea"}
    # 5 frames at interval 3 are F S S R S.
    assert set(quality["clips"]["coffee"]["stream_vs_teacher"]) == {"mean", "worst", "R", "S"}


def test_keeps_a_given_teacher_and_trains_the_block_at_the_level_asked_for(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out = tmp_path / "made"
    more = ("--teacher", str(TEACHER_WEIGHTS), "--level", "medium", "--hidden", "16")
    _run(script, monkeypatch, out, *more)
    kept, given = read_tensors(out / "teacher.safetensors"), read_tensors(TEACHER_WEIGHTS)
    assert kept.keys() == given.keys()
    assert all(torch.equal(kept[name], given[name]) for name in given)
    block = load_block(out / "shortcut.safetensors")
    assert (block.feat_ch, block.h) == (32, 16)
    lines = [json.loads(line) for line in (out / "training.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == {"block"}
    assert json.loads((out / "quality.json").read_text())["level"] == "medium"


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


def test_the_block_starts_at_the_principal_components(script: ModuleType) -> None:
    """Reduced and drawn again, f is its projection on the strongest h / 2 directions, found here by an SVD;
    the guess from a is off by nothing that an affine map of a could mend."""
    stage = importlib.import_module("block_stage")
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(16, 16)) * np.geomspace(2, 0.02, 16)
    flat = rng.normal(size=(2 * 12 * 16, 16)) @ mixing.T + rng.normal(size=16)
    hidden = np.tanh(flat @ rng.normal(size=(16, 16))) + 0.3
    a, f = (torch.tensor(x.reshape(2, 12, 16, 16)).movedim(-1, 1).float() for x in (hidden, flat))
    block = ShortcutBlock(16, 8)
    stage.start_from_components(block, a, f)
    mean = flat.mean(0)
    _, _, rows = np.linalg.svd(flat - mean, full_matrices=False)
    near = (flat - mean) @ rows[:4].T @ rows[:4] + mean
    with torch.no_grad():
        drawn, guessed = (
            block.recon_ref(part).movedim(1, -1).reshape(-1, 16).numpy()
            for part in (block.cr1(f), block.cr2(a))
        )
    assert np.abs(drawn - near).max() < 1e-4
    missed = guessed - near
    assert np.sqrt((missed**2).mean()) > 0.1
    assert np.abs(missed.mean(0)).max() < 1e-3
    assert np.abs(missed.T @ (hidden - hidden.mean(0)) / len(flat)).max() < 1e-3


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

"""Builds that are verified: how often PyTorch is asked, and what a build without a self-test says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from v2v_export.build import build
from v2v_export.cli import main
from v2v_export.profiles import load_profile
from v2v_export.recipe import load_recipe
from v2v_export.store import Store
from v2v_runtime.bundle import Bundle


def test_one_play_of_the_reference_serves_self_test_and_every_target(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(recipe_path)
    asked: list[str] = []
    import tiny_v2v.model as tiny

    step = tiny.TinyReference.step

    def counted(self: Any, frames: Any) -> Any:
        asked.append("step")
        return step(self, frames)

    monkeypatch.setattr(tiny.TinyReference, "step", counted)
    profiles = [load_profile("cpu"), load_profile("h100")]
    result = build(recipe, None, profiles, store=Store(tmp_path / "store"))
    assert set(result.targets) == {"cpu.onnxruntime", "h100.onnxruntime"}
    for target in result.targets.values():
        steps = target.verification["teacher_forced"]["steps"]
        assert steps == 7, "two intervals of 3 and one step"
        assert target.verification["free_running"]["steps"] == 5
    # 5 frames of the self-test, and once more with the 7 that cross everything.
    assert len(asked) == 5 + 7


def test_a_build_without_a_self_test_says_so(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe_path.write_text(recipe_path.read_text().replace("frames = 5", "frames = 0"))
    monkeypatch.setenv("V2V_CACHE", str(tmp_path / "store"))
    assert main(["build", str(recipe_path)]) == 0
    bundle = Bundle.open(recipe_path.parent / "tiny.v2v")
    assert bundle.manifest.selftest is None
    (target,) = bundle.targets().values()
    assert target.status == "verified", "its own backend played graphs and steps here"
    assert target.verification["verdict"] == "passed"
    assert target.verification["teacher_forced"]["steps"] == 7
    shown = " ".join(capsys.readouterr().out.split())
    assert "verified here" in shown
    assert "not run here" not in shown
    assert "not verified: the self-test: the bundle carries none (frames = 0 in [verify])" in shown
    assert "the free-running stream" in shown


def test_a_build_that_was_told_not_to_verify_says_so(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("V2V_CACHE", str(tmp_path / "store"))
    bundle = str(recipe_path.parent / "tiny.v2v")
    for words in (["build", str(recipe_path), "--no-verify"], ["inspect", bundle]):
        assert main(words) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "built, not verified" in shown
        assert "not run here" not in shown
        assert "not verified: anything: the build was told not to (--no-verify)" in shown
    assert main(["build", str(recipe_path), "--no-verify"]) == 0
    assert "built, not verified" in capsys.readouterr().out, "also where there is nothing to do"
    assert main(["build", str(recipe_path)]) == 0
    shown = capsys.readouterr().out
    assert "verified here" in shown
    assert "anything" not in shown


def test_a_build_leaves_no_scratch(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    build(load_recipe(recipe_path), None, [load_profile("cpu")], store=Store(tmp_path / "store"))
    assert list(folder.iterdir()) == []
    assert "tiny_v2v.model" in sys.modules

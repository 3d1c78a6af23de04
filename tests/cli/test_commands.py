"""Each command on a real bundle: a Shortcut-V2V of the smallest widths, built once by ``build``."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.commands import told
from support.recipes import small_shortcut
from v2v_export import doctor
from v2v_export.cli import main
from v2v_export.targets import base as targets
from v2v_runtime.video import VideoReader, VideoWriter

RECIPE = small_shortcut(frames=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds ``v2v.toml`` and ``small.v2v``, built by ``v2v-export build``."""
    root = tmp_path_factory.mktemp("commands")
    (root / "v2v.toml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("V2V_CACHE", str(root / "cache"))
        assert main(["build", str(root / "v2v.toml")]) == 0
    return root


@pytest.fixture(autouse=True)
def _cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2V_CACHE", str(folder / "cache"))


class TestInit:
    def test_writes_a_recipe_that_loads(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        from v2v_export.recipe import load_recipe

        path = tmp_path / "mine.toml"
        assert main(["init", "shortcut_v2v", "--out", str(path)]) == 0
        assert load_recipe(path).system.name == "shortcut_v2v"
        assert "v2v-export build" in capsys.readouterr().out

    def test_replaces_nothing_unasked(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "mine.toml"
        path.write_text("mine")
        assert main(["init", "shortcut_v2v", "--out", str(path)]) == 1
        assert "V2V-E9111" in capsys.readouterr().err
        assert path.read_text() == "mine"
        assert main(["init", "shortcut_v2v", "--out", str(path), "--force"]) == 0
        assert "shortcut_v2v" in path.read_text()

    def test_suggests_the_right_system(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["init", "shortcut-v2v"]) == 1
        assert "did you mean shortcut_v2v?" in capsys.readouterr().err


class TestBuild:
    def test_again_it_has_nothing_to_do(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        again = told(capsys, "build", folder / "v2v.toml")
        assert again["up_to_date"] is True
        assert again["stages"] == []
        assert again["targets"]["cpu.onnxruntime"]["status"] == "verified"
        assert main(["build", str(folder / "v2v.toml")]) == 0
        assert "up to date" in capsys.readouterr().out

    def test_unknown_gpu_names_the_nearest(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["build", str(folder / "v2v.toml"), "--gpu", "rtx4900"]) == 1
        assert "rtx4090" in capsys.readouterr().err

    def test_a_miss_publishes_nothing_and_has_status_3(self, folder: Path, tmp_path: Path) -> None:
        """A tolerance that nothing can meet, in a real process."""
        path = tmp_path / "v2v.toml"
        path.write_text(RECIPE + "tolerance_float32 = 0.0\n")
        script = "import sys\nfrom v2v_export.cli import main\nsys.exit(main(sys.argv[1:]))"
        argv = [sys.executable, "-c", script, "build", str(path)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 3, done.stderr
        assert re.search(r"V2V-E800[12]", done.stderr)
        assert not (tmp_path / "small.v2v").exists()


class TestVerify:
    def test_passes(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        answer = told(capsys, "verify", folder / "small.v2v")
        assert answer["passed"] is True
        found = answer["targets"]["cpu.onnxruntime"]
        assert found["level"] == "build"
        assert found["teacher_forced"]["steps"] == 8
        assert found["selftest"]["frames"] == 6

    def test_full_for_people(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", str(folder / "small.v2v"), "--full", "--target", "cpu"]) == 0
        out = capsys.readouterr().out
        assert "cpu.onnxruntime passed" in out
        assert "32 teacher-forced steps" in out
        assert "32 free-running steps" in out

    def test_another_model_is_refused(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "other.toml"
        path.write_text(RECIPE.replace('teacher = "random:1"', 'teacher = "random:2"'))
        assert main(["verify", str(folder / "small.v2v"), "--recipe", str(path)]) == 1
        error = capsys.readouterr().err
        assert "V2V-E5020" in error
        assert "weights.teacher" in error

    def test_a_bundle_apart_from_its_recipe_knows_its_random_weights(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(folder / "small.v2v", tmp_path / "alone.v2v")
        assert told(capsys, "verify", tmp_path / "alone.v2v")["passed"] is True

    def test_a_changed_file_is_found_before_anything_runs(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(folder / "small.v2v", tmp_path / "bad.v2v")
        weights = next((tmp_path / "bad.v2v" / "graphs").glob("*.weights"))
        data = bytearray(weights.read_bytes())
        data[len(data) // 2] ^= 1
        weights.write_bytes(data)
        assert main(["verify", str(tmp_path / "bad.v2v")]) == 1
        assert "V2V-E1" in capsys.readouterr().err


class TestRun:
    def test_plays_a_video(self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
        with VideoWriter(source, rate=25) as writer:
            for index in range(7):
                writer.write(np.full((30, 40, 3), 20 * index, np.uint8), index)
        answer = told(
            capsys, "run", folder / "small.v2v", "--input", source, "--output", out, "--fit", "stretch"
        )
        assert (answer["frames_in"], answer["frames_out"]) == (7, 7)
        with VideoReader(out) as reader:
            assert (reader.info.height, reader.info.width) == (16, 24)
            assert len(list(reader)) == 7

    def test_unknown_fit(self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        argv = [
            "run",
            str(folder / "small.v2v"),
            "-i",
            "x.mp4",
            "-o",
            str(tmp_path / "o.mp4"),
            "--fit",
            "zoom",
        ]
        assert main(argv) == 1
        assert "V2V-E9008" in capsys.readouterr().err


class TestInspect:
    def test_tells_program_graphs_and_targets(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "200")
        assert main(["inspect", str(folder / "small.v2v")]) == 0
        out = capsys.readouterr().out
        for words in ("24 x 16", "step % 3 in [2]; late", "slot z_r", "verified here", "interval = 3"):
            assert words in out, words
        assert "first (1 step)" in out

    def test_a_name_steers_no_terminal(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["inspect", str(tmp_path / "\x1b[2J\n")]) == 1
        shown = capsys.readouterr().err
        assert r"\x1b[2J\n" in shown
        assert "\x1b" not in shown

    def test_as_json_it_is_the_manifest(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        answer = told(capsys, "inspect", folder / "small.v2v", "--fast")
        assert answer["manifest"] == json.loads((folder / "small.v2v" / "bundle.json").read_text())
        assert set(answer["targets"]) == {"cpu.onnxruntime"}


class TestExplain:
    def test_costs_on_a_gpu_that_is_not_a_target(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (answer,) = told(capsys, "explain", folder / "small.v2v", "--gpu", "rtx4090")
        assert set(answer["graphs"]) == {"full", "shortcut", "refresh"}
        assert answer["graphs"]["full"]["macs"]["true"] > answer["graphs"]["refresh"]["macs"]["true"] > 0
        assert answer["graphs"]["refresh"]["runs_per_frame"] == pytest.approx(1 / 3)

    def test_keys_as_they_would_be_now(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        answer = told(capsys, "explain", folder / "small.v2v", "--key")
        for graph in ("full", "shortcut", "refresh"):
            found = answer["cpu.onnxruntime"][graph]
            assert found["differs"] is None
            assert found["key"]["backend"] == "onnxruntime"

    def test_a_recipe_has_no_keys(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["explain", str(tmp_path / "v2v.toml"), "--key"]) == 2
        assert "a recipe has no engines yet" in capsys.readouterr().err

    def test_the_first_field_that_differs(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        builder = targets.builder("onnxruntime")
        monkeypatch.setattr(
            type(builder), "available", lambda self: targets.Availability(True, version="99.1")
        )
        answer = told(capsys, "explain", folder / "small.v2v", "--key")
        assert re.fullmatch(r"backend_version: \S+ -> 99\.1", answer["cpu.onnxruntime"]["full"]["differs"])


class TestBench:
    def test_against_pytorch(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        answer = told(
            capsys, "bench", folder / "small.v2v", "--against", "eager", "--blocks", "6", "--frames", "1"
        )
        assert set(answer["sides"]) == {"stream", "PyTorch eager"}
        # One frame was asked for; blocks hold whole intervals of three.
        assert {side["frames"] for side in answer["sides"].values()} == {18}
        (ratio,) = answer["ratios"]
        assert (ratio["side"], ratio["against"], ratio["blocks"]) == ("stream", "PyTorch eager", 6)
        assert 0 < ratio["low"] <= ratio["estimate"] <= ratio["high"]
        assert set(answer["calls"]) == {"first/full", "stream/shortcut", "stream/refresh"}
        assert re.fullmatch(r"[0-9a-f]{12}", answer["machine"]["fingerprint"])

    def test_against_the_full_teacher(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        argv = ["bench", folder / "small.v2v", "--against", "teacher", "--blocks", "6", "--frames", "1"]
        answer = told(capsys, *argv)
        assert set(answer["sides"]) == {"stream", "full teacher"}

    def test_a_deadline_that_nothing_meets(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        argv = ["bench", folder / "small.v2v", "--against", "eager", "--blocks", "6", "--frames", "18"]
        # Strict: a machine that other processes use gives no verdict, which is status 3 too.
        answer = told(capsys, *argv, "--deadline", "0.001", "--strict", status=3)
        assert answer["verdict"] in ("MISSED", "NOISY")
        assert answer["misses"] == {"stream": 108, "PyTorch eager": 108}

    def test_unknown_side(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["bench", str(folder / "small.v2v"), "--against", "jax"]) == 2
        assert "jax" in capsys.readouterr().err


class TestDoctor:
    def test_this_environment_works(self, capsys: pytest.CaptureFixture[str]) -> None:
        findings = {finding["what"]: finding for finding in told(capsys, "doctor")["findings"]}
        assert findings["onnxruntime"]["status"] == "ok"
        assert "CPU" in findings["onnxruntime"]["seen"]
        assert "H.264" in findings["video files"]["seen"]
        assert findings["system shortcut_v2v"]["status"] == "ok"

    @pytest.mark.parametrize(
        ("wheels", "words"),
        [
            ({"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"}, "same module"),
            ({}, "no wheel"),
        ],
    )
    def test_both_wheels_or_none(
        self,
        wheels: dict[str, str],
        words: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        known = doctor.installed
        monkeypatch.setattr(
            doctor,
            "installed",
            lambda name: wheels.get(name) if name.startswith("onnxruntime") else known(name),
        )
        answer = told(capsys, "doctor", status=1)
        (finding,) = (each for each in answer["findings"] if each["what"] == "onnxruntime")
        assert finding["status"] == "fail"
        assert words in finding["seen"]
        assert "v2v-runtime[cpu]" in finding["fix"]

    def test_another_version_than_tested(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known = doctor.installed
        monkeypatch.setattr(doctor, "installed", lambda name: "1.2.3" if name == "torch" else known(name))
        (finding,) = (each for each in told(capsys, "doctor")["findings"] if each["what"] == "torch")
        assert finding["status"] == "warn"
        assert "1.2.3" in finding["seen"]


class TestLists:
    def test_profiles_with_sources(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["profiles", "rtx4090"]) == 0
        assert "whitepaper" in capsys.readouterr().out

    def test_systems(self, capsys: pytest.CaptureFixture[str]) -> None:
        (system,) = (each for each in told(capsys, "systems") if each["name"] == "shortcut_v2v")
        assert [slot["name"] for slot in system["weights"]] == ["teacher", "shortcut"]
        assert system["options"]["interval"]["default"] == 3

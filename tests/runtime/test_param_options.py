"""``--set``, ``--prompt`` and ``--negative``: what a command line makes of params."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.paint import HEIGHT, WIDTH, write_paint
from v2v_runtime import player
from v2v_runtime.blobs import write_safetensors
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import BundleError, StreamError
from v2v_runtime.param_options import ParamOptions
from v2v_runtime.video import VideoReader, VideoWriter


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_paint(tmp_path_factory.mktemp("params") / "paint.v2v")


def values(bundle: Bundle, *assignments: str) -> dict[str, list[object]]:
    return {
        name: np.asarray(v).tolist()
        for name, v in ParamOptions(assignments=assignments).values(bundle).items()
    }


def test_numbers_truths_and_the_last_word(bundle: Bundle) -> None:
    assert values(bundle) == {}
    assert values(bundle, "gain=0.5", "gain=1e-1") == {"gain": [0.1]}
    assert values(bundle, "shift= 1, -2,3") == {"shift": [1, -2, 3]}
    assert values(bundle, "invert=true") == values(bundle, "invert=1") == {"invert": [True]}
    assert values(bundle, "mix=1,2,3,4,5,6,7,8,9") == {"mix": [[1, 2, 3], [4, 5, 6], [7, 8, 9]]}


def test_a_file_of_tensors(bundle: Bundle, tmp_path: Path) -> None:
    mix, other = np.full((3, 3), 0.25, np.float32), np.zeros((3, 3), np.float32)
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    write_safetensors(one, {"anything": mix})
    write_safetensors(two, {"mix": mix, "other": other})
    assert values(bundle, f"mix={one}") == values(bundle, f"mix={two}") == {"mix": mix.tolist()}
    assert values(bundle, f"mix={two}:other") == {"mix": other.tolist()}
    with pytest.raises(StreamError, match=r"V2V-E3091.*holds no tensor 'gain'"):
        values(bundle, f"gain={two}")
    with pytest.raises(StreamError, match=r"(?s)V2V-E3091.*no tensor 'third'.*mix, other"):
        values(bundle, f"mix={two}:third")
    with pytest.raises(BundleError):
        values(bundle, f"mix={tmp_path}/missing.safetensors")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("gain", r"V2V-E3090.*--set gain"),
        ("=1", "V2V-E3090"),
        ("gian=1", r"(?s)V2V-E3010.*'gian'.*gain, shift, invert, mix"),
        ("gain=loud", r"(?s)V2V-E3091.*gain=loud.*numbers of shape \[1\]"),
        ("gain=", "V2V-E3091"),
        ("gain=1,2", r"(?s)V2V-E3091.*2 numbers.*1, for shape \[1\]"),
        ("shift=1,2", r"(?s)V2V-E3091.*2 numbers.*3, for shape \[3\]"),
        ("shift=1,2,0.5", r"(?s)V2V-E3091.*whole numbers"),
        ("invert=maybe", r"(?s)V2V-E3091.*true or false"),
    ],
)
def test_what_is_no_assignment(bundle: Bundle, assignment: str, words: str) -> None:
    with pytest.raises(StreamError, match=words):
        values(bundle, assignment)


@pytest.mark.parametrize("options", [ParamOptions(prompt="a cat"), ParamOptions(negative="a cat")])
def test_a_bundle_that_takes_no_text(bundle: Bundle, options: ParamOptions) -> None:
    with pytest.raises(StreamError, match="V2V-E3084"):
        options.values(bundle)


class TestPlayer:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        path = tmp_path / "in.mp4"
        with VideoWriter(path, rate=25, time_base=Fraction(1, 25), quality=4) as writer:
            for time in range(3):
                writer.write(np.full((HEIGHT, WIDTH, 3), 60, np.uint8), time)
        return path

    def test_params_are_set_before_the_first_frame(
        self, bundle: Bundle, source: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out.mp4"
        words = ["-i", str(source), "-o", str(out), "--set", "gain=2", "--set", "shift=10,10,10"]
        assert player.main([str(bundle.root), *words, "--set", "invert=true"]) == 0
        with VideoReader(out) as reader:
            for frame in reader:
                assert np.abs(frame.rgb.astype(int) - (255 - (2 * 60 + 10))).max() <= 5

    def test_a_value_that_does_not_fit_leaves_no_file(
        self, bundle: Bundle, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = [str(bundle.root), "-i", str(source), "-o", str(tmp_path / "out.mp4"), "--json"]
        for assignment, code in (("gain=nan", "V2V-E3013"), ("gain=x", "V2V-E3091"), ("x=1", "V2V-E3010")):
            assert player.main([*words, "--set", assignment]) == 1
            assert json.loads(capsys.readouterr().out)["error"]["code"] == code
        assert not (tmp_path / "out.mp4").exists()

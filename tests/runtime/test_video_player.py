"""``v2v-run`` on real files: pictures, times, numbers, and what is left behind when it does not work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from support.negative import write_negative
from v2v_runtime import player, playing
from v2v_runtime.stream import Stream
from v2v_runtime.video import VideoReader, VideoWriter

HEIGHT, WIDTH = 32, 48
TIMES = [0, 1, 2, 5, 6, 20]
LEVELS = [20, 60, 100, 140, 180, 220]


PICTURES = np.full((2, HEIGHT, WIDTH, 3), 100, np.uint8)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_negative(tmp_path / "negative.v2v", PICTURES)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Grey frames of known levels at uneven times."""
    path = tmp_path / "in.mp4"
    with VideoWriter(path, rate=25, time_base=Fraction(1, 25), quality=4) as writer:
        for time, level in zip(TIMES, LEVELS, strict=True):
            writer.write(np.full((HEIGHT, WIDTH, 3), level, np.uint8), time)
    return path


def test_every_frame_goes_through_the_stream_and_keeps_its_time(
    bundle: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    assert player.main([str(bundle), "-i", str(source), "-o", str(out), "--json"]) == 0
    with VideoReader(out) as reader:
        frames = list(reader)
    assert [frame.pts * reader.time_base for frame in frames] == [Fraction(t, 25) for t in TIMES]
    for frame, level in zip(frames, LEVELS, strict=True):
        assert np.abs(frame.rgb.astype(int) - (255 - level)).max() <= 4
    told = json.loads(capsys.readouterr().out)
    assert (told["frames_in"], told["frames_out"], told["output"]) == (6, 6, str(out))
    assert 0 < told["p50"] <= told["p95"] <= told["worst"]
    assert told["fps"] <= told["stream_fps"]


def test_numbers_for_people(
    bundle: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        player.main([str(bundle), "-i", str(source), "-o", str(tmp_path / "out.mp4"), "--frames", "3"]) == 0
    )
    told = capsys.readouterr()
    assert "3 frames in, 3 out" in told.out
    assert "p50" in told.out
    # No progress line into what is no terminal.
    assert told.err == ""


def test_selftest(tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert player.main([str(bundle), "--selftest"]) == 0
    assert "passed: 2 of 2 frames" in capsys.readouterr().out
    wrong = write_negative(tmp_path / "wrong.v2v", PICTURES, wrong=3)
    assert player.main([str(wrong), "--selftest", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["passed"], told["max_difference"]) == (False, 3)


class TestRefused:
    def fails(self, capsys: pytest.CaptureFixture[str], code: str, *argv: str | Path) -> str:
        assert player.main([*map(str, argv), "--json"]) == 1
        told = capsys.readouterr()
        assert json.loads(told.out)["error"]["code"] == code
        assert code in told.err
        assert "Traceback" not in told.err
        return told.err

    def test_no_bundle(self, tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.fails(capsys, "V2V-E1001", tmp_path / "none", "-i", source, "-o", tmp_path / "out.mp4")

    def test_no_input(self, tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.fails(capsys, "V2V-E9002", bundle, "-i", tmp_path / "none.mp4", "-o", tmp_path / "out.mp4")
        assert not (tmp_path / "out.mp4").exists()

    def test_output_is_the_input(
        self, bundle: Path, source: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        before = source.read_bytes()
        self.fails(capsys, "V2V-E9011", bundle, "-i", source, "-o", source)
        assert source.read_bytes() == before

    def test_nowhere_to_play_to(self, bundle: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.fails(capsys, "V2V-E9012", bundle, "-i", source)

    def test_a_window_where_there_is_none(
        self, bundle: Path, source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        self.fails(capsys, "V2V-E9010", bundle, "-i", source, "--window")

    def test_without_pyav(
        self,
        bundle: Path,
        source: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setitem(sys.modules, "av", None)
        told = self.fails(capsys, "V2V-E9001", bundle, "-i", source, "-o", tmp_path / "out.mp4")
        assert "v2v-runtime[video]" in told

    def test_a_damaged_input_leaves_no_output_unless_salvaged(
        self, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        whole, part, out = tmp_path / "whole.mkv", tmp_path / "part.mkv", tmp_path / "out.mp4"
        noise = np.random.default_rng(0)
        with VideoWriter(whole, rate=25) as writer:
            for index in range(40):
                writer.write(noise.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8), index)
        part.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        self.fails(capsys, "V2V-E9005", bundle, "-i", part, "-o", out)
        assert sorted(os.listdir(tmp_path)) == ["negative.v2v", "part.mkv", "whole.mkv"]
        assert player.main([str(bundle), "-i", str(part), "-o", str(out), "--salvage"]) == 0
        with VideoReader(out) as reader:
            assert 0 < len(list(reader)) < 40

    @pytest.mark.parametrize(
        "argv", [["x"], ["x", "-i", "a", "--frames", "0"], ["x", "-i", "a", "--fit", "zoom"], []]
    )
    def test_wrong_command_lines(self, argv: list[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            player.main(argv)
        assert ended.value.code == 2


def test_plays_without_the_exporter(bundle: Path, source: Path, tmp_path: Path) -> None:
    """In a process where v2v_export, torch and onnx cannot be imported."""
    script = (
        "import sys\n"
        "for name in ('v2v_export', 'v2v_plugins', 'torch', 'onnx', 'cv2'): sys.modules[name] = None\n"
        "from v2v_runtime.player import main\n"
        "raise SystemExit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", script, str(bundle), "-i", str(source), "-o", str(tmp_path / "out.mp4")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mp4").exists()


def test_interrupted_it_ends_at_once_and_leaves_nothing(bundle: Path, source: Path, tmp_path: Path) -> None:
    """The process tells when the stream plays, then gets Ctrl-C while it waits for a frame."""
    script = (
        "import sys, time\n"
        "from v2v_runtime.video import VideoReader\n"
        "frames = VideoReader.__iter__\n"
        "def slow(self):\n"
        "    for frame in frames(self):\n"
        "        yield frame\n"
        "        print('playing', flush=True)\n"
        "        time.sleep(100)\n"
        "VideoReader.__iter__ = slow\n"
        "from v2v_runtime.player import main\n"
        "raise SystemExit(main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", script, str(bundle), "-i", str(source), "-o", str(tmp_path / "out.mp4")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "playing\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "negative.v2v"]


class Gathering:
    """A stream of eight frames a step, and a clock that hardly moves but in its steps."""

    def __init__(self, *seconds: float) -> None:
        self.now, self._seconds, self._staged = 0.0, list(seconds), 0

    def clock(self) -> float:
        self.now += 1e-6
        return self.now

    def _shown(self) -> list[SimpleNamespace]:
        self.now += self._seconds.pop(0)
        count, self._staged = self._staged, 0
        return [SimpleNamespace(rgb8=None, timestamp=index) for index in range(count)]

    def push(self, rgb: object, pts: int) -> list[SimpleNamespace]:
        self._staged += 1
        return self._shown() if self._staged == 8 else []

    def flush(self) -> list[SimpleNamespace]:
        return self._shown() if self._staged else []


@pytest.mark.parametrize(
    ("frames", "seconds", "told"),
    [(24, (1.0, 0.4, 0.6), (500, 600)), (8, (1.0,), (1000, 1000)), (3, (0.7,), (700, 700))],
)
def test_times_are_of_pushes_that_show_something(
    frames: int, seconds: tuple[float, ...], told: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push that only gathers takes no time: seven of eight would make a median of nothing."""
    stream = Gathering(*seconds)
    monkeypatch.setattr(playing.time, "perf_counter", stream.clock)
    reader = [SimpleNamespace(rgb=None, pts=index) for index in range(frames)]
    report = playing.play(cast(Stream, stream), cast(VideoReader, reader), [])
    assert (report.p50, report.worst) == pytest.approx(told, abs=0.1)
    assert (report.frames_in, report.frames_out) == (frames, frames)

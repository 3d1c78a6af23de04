"""``--at WHEN:NAME=VALUE``: params and phases that change while a video plays."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from support.machines import Toy, picture
from support.paint import HEIGHT, WIDTH, write_paint
from v2v_runtime import player
from v2v_runtime.blobs import write_safetensors
from v2v_runtime.bundle import Bundle
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, Emit, Phase
from v2v_runtime.param_changes import Changes
from v2v_runtime.video import VideoReader, VideoWriter


def toy() -> Toy:
    """Shows ``level`` + ``more``; phase ``lead`` adds 100 to its one frame."""

    def show(added: int) -> Any:
        return lambda g: {"y": picture(g["level"][0] + g["more"].sum() + added)}

    ports = "x:frame level:i64 more:f[2]", "y:frame"
    reads = {"x": "video", "level": "level", "more": "more"}
    return Toy(
        {"lead": (*ports, show(100)), "show": (*ports, show(0))},
        [
            Phase("lead", 1, (Call("lead", "lead", reads, {"y": "out"}),), emit=Emit("out")),
            Phase("play", "forever", (Call("show", "show", reads, {"y": "out"}),), emit=Emit("out")),
        ],
        params={"level": ("i64", np.array([1])), "more": ("f[2]", np.zeros(2, np.float32))},
    )


def changes_of(made: Toy, words: tuple[str, ...]) -> Changes:
    """A bundle in memory has all of one that is read here."""
    return Changes(words, cast(Bundle, made.bundle))


def shown(*words: str, frames: int = 6) -> list[int]:
    """What each frame shows, 25 of them a second."""
    made = toy()
    changes = changes_of(made, words)
    with made.stream() as stream:
        changes.check(stream)
        seen = []
        for index in range(frames):
            changes.apply(stream, index, Fraction(index, 25))
            (frame,) = stream.push(np.zeros((1, 1, 3), np.uint8))
            seen.append(int(frame.rgb8[0, 0, 0]))
        return seen


def test_a_change_holds_from_its_frame_on() -> None:
    assert shown() == [101, 1, 1, 1, 1, 1]
    assert shown("3:level=7") == [101, 1, 1, 7, 7, 7]
    assert shown("0:level=7", "4:level=8", "4:more=1,2") == [107, 7, 7, 7, 11, 11]


def test_a_time_is_the_first_frame_that_is_not_earlier() -> None:
    assert shown("0.08s:level=7") == [101, 1, 7, 7, 7, 7]
    assert shown(".081s:level=7") == [101, 1, 1, 7, 7, 7]
    assert shown("0s:level=7", "0.2s:level=8") == [107, 7, 7, 7, 7, 8]


def test_the_last_of_one_param_at_one_frame_counts() -> None:
    assert shown("2:level=7", "0.08s:level=8")[2:] == [8, 8, 8, 8]


def test_a_phase_begins_anew_with_the_params_of_its_frame() -> None:
    assert shown("3:enter=lead", "3:level=7") == [101, 1, 1, 107, 7, 7]


def test_what_the_video_does_not_reach_is_told() -> None:
    made = toy()
    words = ("1:level=7", "9:level=8", "1s:level=9")
    changes = changes_of(made, words)
    with made.stream() as stream:
        for index in range(3):
            changes.apply(stream, index, Fraction(index, 25))
    assert changes.left == words[1:]


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("level=7", r"(?s)V2V-E3092.*--at level=7.*WHEN:NAME=VALUE"),
        ("x:level=7", "V2V-E3092"),
        ("-1:level=7", "V2V-E3092"),
        ("4.5:level=7", "V2V-E3092"),
        ("1e3s:level=7", "V2V-E3092"),
        ("3:level", "V2V-E3092"),
        ("3:=7", "V2V-E3092"),
        (":level=7", "V2V-E3092"),
        ("3:levle=7", "V2V-E3010"),
        ("3:level=loud", r"V2V-E3091.*--at 3:level=loud"),
        ("3:more=1", r"V2V-E3091.*--at 3:more=1: 1 numbers"),
        ("3:prompt=a cat", "V2V-E3084"),
        ("3:negative=a cat", "V2V-E3084"),
        ("3:enter=pley", r"(?s)V2V-E3030.*lead, play.*--at 3:enter=pley"),
        ("3:level=9223372036854775808", "V2V-E3012"),
        ("3:more=0,inf", "V2V-E3013"),
    ],
)
def test_a_mistake_is_told_before_the_first_frame(word: str, words: str) -> None:
    with pytest.raises(StreamError, match=words):
        shown(word, frames=0)


@pytest.fixture(scope="module")
def paint(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_paint(tmp_path_factory.mktemp("changes") / "paint.v2v")


class TestPlayer:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """Six frames, 25 a second, whose times begin at 3 s."""
        path = tmp_path / "in.mp4"
        with VideoWriter(path, rate=25, time_base=Fraction(1, 25), quality=4) as writer:
            for time in range(6):
                writer.write(np.full((HEIGHT, WIDTH, 3), 60, np.uint8), 75 + time)
        return path

    def levels(self, out: Path) -> list[float]:
        with VideoReader(out) as reader:
            return [float(frame.rgb.mean()) for frame in reader]

    def test_the_video_follows(
        self, paint: Bundle, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out.mp4"
        words = ["-i", str(source), "-o", str(out), "--set", "gain=2"]
        words += ["--at", "2:gain=0.5", "--at", "0.16s:invert=true", "--at", "6:gain=1"]
        assert player.main([str(paint.root), *words]) == 0
        assert self.levels(out) == pytest.approx([120, 120, 30, 30, 225, 225], abs=5)
        assert "--at 6:gain=1: the video ended before it" in capsys.readouterr().err

    def test_a_tensor_from_a_file(self, paint: Bundle, source: Path, tmp_path: Path) -> None:
        out, file = tmp_path / "out.mp4", tmp_path / "mix.safetensors"
        write_safetensors(file, {"mix": np.eye(3, dtype=np.float32) * 3})
        words = ["-i", str(source), "-o", str(out), "--at", f"3:mix={file}"]
        assert player.main([str(paint.root), *words]) == 0
        assert self.levels(out) == pytest.approx([60, 60, 60, 180, 180, 180], abs=5)

    def test_a_mistake_leaves_no_file(
        self, paint: Bundle, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = [str(paint.root), "-i", str(source), "-o", str(tmp_path / "out.mp4"), "--json"]
        mistakes = {"5:gain=nan": "V2V-E3013", "5:enter=stop": "V2V-E3030", "gain=1": "V2V-E3092"}
        for change, code in mistakes.items():
            assert player.main([*words, "--at", change]) == 1
            assert json.loads(capsys.readouterr().out)["error"]["code"] == code
        assert not (tmp_path / "out.mp4").exists()

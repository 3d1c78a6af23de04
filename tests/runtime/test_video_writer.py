"""Writing video files: sizes, times, colours, and that a file is whole or absent."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from v2v_runtime.errors import MediaError
from v2v_runtime.video import VideoReader, VideoWriter


def picture(height: int = 32, width: int = 48, level: int = 0) -> NDArray[np.uint8]:
    """Halves of one saturated and one plain colour; ``level`` makes frames differ."""
    image = np.empty((height, width, 3), np.uint8)
    image[:, : width // 2] = (200, 30, 40 + level)
    image[:, width // 2 :] = (20, 190, 90)
    return image


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".m4v", ".mkv"])
def test_what_is_written_comes_back(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    with VideoWriter(path, rate=25, quality=4) as writer:
        for index in range(5):
            writer.write(picture(level=index * 20), index)
    with VideoReader(path) as reader:
        frames = list(reader)
    assert reader.info.rate == 25
    assert [round(f.pts * reader.time_base * 25) for f in frames] == [0, 1, 2, 3, 4]
    for index, frame in enumerate(frames):
        for column in (8, 40):
            seen = frame.rgb[16, column].astype(int)
            assert np.abs(seen - picture(level=index * 20)[16, column]).max() <= 8, (index, seen)


def test_times_pass_through_with_their_own_ticks(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    times = [0, 3003, 6006, 90_000, 93_003]
    with VideoWriter(path, rate=30, time_base=Fraction(1, 90_000)) as writer:
        for time in times:
            writer.write(picture(), time)
    with VideoReader(path) as reader:
        assert [f.pts * reader.time_base for f in reader] == [Fraction(t, 90_000) for t in times]


def test_times_that_do_not_rise_are_nudged(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, rate=10) as writer:
        for time in (0, 0, 5, 4):
            writer.write(picture(), time)
    with VideoReader(path) as reader:
        assert [round(f.pts * reader.time_base * 10) for f in reader] == [0, 1, 5, 6]


@pytest.mark.parametrize(("odd", "size"), [("pad", (34, 50)), ("crop", (32, 48))])
def test_odd_sizes(tmp_path: Path, odd: str, size: tuple[int, int]) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, rate=25, odd=odd) as writer:  # type: ignore[arg-type]  # parametrised
        writer.write(picture(33, 49), 0)
    with VideoReader(path) as reader:
        frame = next(iter(reader)).rgb
    assert frame.shape[:2] == size
    # The padded line repeats its neighbour: no black or green edge.
    assert np.abs(frame[-1, -1].astype(int) - (20, 190, 90)).max() < 25


def test_odd_sizes_refused_on_request(tmp_path: Path) -> None:
    with (
        pytest.raises(MediaError, match=r"V2V-E9007.*33x49"),
        VideoWriter(tmp_path / "out.mp4", rate=25, odd="refuse") as w,
    ):
        w.write(picture(33, 49), 0)
    assert os.listdir(tmp_path) == []


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the old one")

    def fail() -> None:
        with VideoWriter(path, rate=25) as writer:
            writer.write(picture(), 0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"the old one"
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_nothing_appears_before_close(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    writer = VideoWriter(path, rate=25)
    writer.write(picture(), 0)
    assert not path.exists()
    writer.close()
    writer.close()
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_published_file_has_ordinary_permissions(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, rate=25) as writer:
        writer.write(picture(), 0)
    other = tmp_path / "other"
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_no_frames(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="V2V-E9004"), VideoWriter(tmp_path / "out.mp4", rate=25):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((32, 48), np.uint8),
        np.zeros((32, 48, 4), np.uint8),
        np.zeros((32, 48, 3), np.float32),
        np.zeros((0, 48, 3), np.uint8),
    ],
)
def test_frames_of_another_kind(tmp_path: Path, frame: NDArray[np.uint8]) -> None:
    with pytest.raises(MediaError, match="V2V-E9008"), VideoWriter(tmp_path / "out.mp4", rate=25) as writer:
        writer.write(frame, 0)


def test_a_frame_of_another_size(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", rate=25) as writer:
        writer.write(picture(), 0)
        with pytest.raises(MediaError, match=r"V2V-E9008.*frame 1 is \[32, 50, 3\]"):
            writer.write(picture(32, 50), 1)


def test_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"V2V-E9006.*\.xyz"):
        VideoWriter(tmp_path / "out.xyz", rate=25)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="V2V-E9006"):
        VideoWriter(tmp_path / "none" / "out.mp4", rate=25)


def test_without_an_h264_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    path = tmp_path / "out.mp4"
    # 1/90000 is finer than MPEG-4 can store.
    with VideoWriter(path, rate=30, time_base=Fraction(1, 90_000)) as writer:
        for index in range(4):
            writer.write(picture(33, 49), index * 3000)
    with VideoReader(path) as reader:
        times = [float(f.pts * reader.time_base) for f in reader]
    assert reader.info.codec == "mpeg4"
    assert times == pytest.approx([0, 1 / 30, 2 / 30, 3 / 30], abs=1e-4)


def test_a_view_with_strides_is_written_as_it_looks(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, rate=25) as writer:
        writer.write(picture()[:, ::-1], 0)
    with VideoReader(path) as reader:
        frame = next(iter(reader)).rgb
    assert np.abs(frame[16, 8].astype(int) - (20, 190, 90)).max() < 12

"""Reading video files: sizes, turns, times, colours, and every kind of broken file."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from v2v_runtime.errors import MediaError
from v2v_runtime.video import VideoReader


def quadrants(height: int, width: int) -> NDArray[np.uint8]:
    """Four flat colours: red top left, green top right, blue bottom left, white bottom right."""
    picture = np.zeros((height, width, 3), np.uint8)
    top, left = slice(0, height // 2), slice(0, width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    picture[top, left] = (210, 30, 30)
    picture[top, right] = (30, 200, 40)
    picture[bottom, left] = (40, 40, 220)
    picture[bottom, right] = (240, 240, 240)
    return picture


def colour_at(picture: NDArray[np.uint8], row: float, column: float) -> str:
    """The name of the quadrant colour at a relative position."""
    names = {"red": (210, 30, 30), "green": (30, 200, 40), "blue": (40, 40, 220), "white": (240, 240, 240)}
    names["black"] = (0, 0, 0)
    pixel = picture[int(row * picture.shape[0]), int(column * picture.shape[1])].astype(int)
    distance = {name: int(np.abs(pixel - colour).max()) for name, colour in names.items()}
    best = min(distance, key=lambda name: distance[name])
    assert distance[best] < 20, f"{pixel} is none of the colours"
    return best


def corners(picture: NDArray[np.uint8]) -> list[str]:
    return [colour_at(picture, r, c) for r, c in ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))]


def make_video(
    path: Path,
    *,
    frames: int = 6,
    size: tuple[int, int] = (48, 64),
    pts: list[int] | None = None,
    time_base: Fraction = Fraction(1, 30),
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    gop: int = 250,
) -> Path:
    height, width = size
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=30, options={"g": str(gop)})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.time_base = stream.codec_context.time_base = time_base
        if aspect:
            stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = aspect
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(quadrants(height, width), format="rgb24")
            frame.pts, frame.time_base = (pts[index] if pts else index), time_base
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    return path


def test_frames_come_whole_upright_and_in_order(tmp_path: Path) -> None:
    with VideoReader(make_video(tmp_path / "a.mp4")) as reader:
        frames = list(reader)
    assert (reader.info.height, reader.info.width, reader.info.rate) == (48, 64, 30)
    assert (reader.info.frames, reader.info.codec, reader.info.rotation) == (6, "h264", 0)
    assert [round(f.pts * reader.time_base * 30) for f in frames] == [0, 1, 2, 3, 4, 5]
    for frame in frames:
        assert frame.rgb.shape == (48, 64, 3)
        assert frame.rgb.dtype == np.uint8
        assert frame.rgb.flags.c_contiguous
        assert corners(frame.rgb) == ["red", "green", "blue", "white"]


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0, 40, 80, 1000, 1040, 2500]
    path = make_video(tmp_path / "v.mp4", pts=times, time_base=Fraction(1, 1000))
    with VideoReader(path) as reader:
        assert [f.pts * reader.time_base for f in reader] == [Fraction(t, 1000) for t in times]


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        # A 64x48 picture into a 24x96 frame (height x width).
        ("stretch", {"shape": (24, 96, 3), "left edge": "red", "right edge": "green"}),
        ("crop", {"shape": (24, 96, 3), "left edge": "red", "right edge": "green"}),
        ("pad", {"shape": (24, 96, 3), "left edge": "black", "right edge": "black"}),
    ],
)
def test_fit_modes(tmp_path: Path, fit: str, expected: dict[str, object]) -> None:
    with VideoReader(make_video(tmp_path / "a.mp4", frames=1), size=(24, 96), fit=fit) as reader:  # type: ignore[arg-type]  # parametrised
        picture = next(iter(reader)).rgb
    assert picture.shape == expected["shape"]
    assert colour_at(picture, 0.1, 0.01) == expected["left edge"]
    assert colour_at(picture, 0.1, 0.99) == expected["right edge"]


def test_crop_keeps_the_middle_and_the_proportions(tmp_path: Path) -> None:
    """A 24-wide frame from a 48x64 picture: filled in height, 20 columns lost on each side of 64."""
    with VideoReader(make_video(tmp_path / "a.mp4", frames=1), size=(48, 24), fit="crop") as reader:
        picture = next(iter(reader)).rgb
    assert corners(picture) == ["red", "green", "blue", "white"]
    reds = (picture[5].astype(int)[:, 0] > 120).sum()
    assert reds == pytest.approx(12, abs=1)


def test_pad_keeps_the_whole_picture(tmp_path: Path) -> None:
    """48x64 into 48x128: 32 black columns, the picture's 64, 32 black ones."""
    with VideoReader(make_video(tmp_path / "a.mp4", frames=1), size=(48, 128), fit="pad") as reader:
        picture = next(iter(reader)).rgb
    assert (picture[10].max(axis=1) > 20).sum() == pytest.approx(64, abs=2)
    assert corners(picture[:, 32:96]) == ["red", "green", "blue", "white"]


def test_wide_pixels_make_a_wide_picture(tmp_path: Path) -> None:
    with VideoReader(make_video(tmp_path / "s.mp4", aspect=Fraction(2))) as reader:
        assert (reader.info.height, reader.info.width) == (48, 128)
        assert next(iter(reader)).rgb.shape == (48, 128, 3)


@pytest.mark.parametrize(
    ("matrix", "shape", "seen"),
    [
        # QuickTime's (a, b, c, d): x' = a x + c y, y' = b x + d y. A telephone held upright writes
        # (0, 1, -1, 0): the stored picture's left edge becomes the top one.
        ((0, 1, -1, 0), (64, 48, 3), ["blue", "red", "white", "green"]),
        ((0, -1, 1, 0), (64, 48, 3), ["green", "white", "red", "blue"]),
        ((-1, 0, 0, -1), (48, 64, 3), ["white", "blue", "green", "red"]),
    ],
)
def test_turned_videos_are_handed_out_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], shape: tuple[int, int, int], seen: list[str]
) -> None:
    path = make_video(tmp_path / "r.mp4", frames=2)
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 4
    # Version 0 has 40 bytes before: flags, times, id, duration, layer, group, volume and reserved ones.
    a, b, c, d = (value << 16 for value in matrix)
    data[header + 40 : header + 76] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    with VideoReader(path) as reader:
        assert (reader.info.height, reader.info.width) == shape[:2]
        picture = next(iter(reader)).rgb
    assert picture.shape == shape
    assert corners(picture) == seen


def test_turned_video_fits_the_frame_size(tmp_path: Path) -> None:
    path = make_video(tmp_path / "r.mp4", frames=1)
    data = bytearray(path.read_bytes())
    header = data.index(b"tkhd") + 4
    one = 1 << 16
    data[header + 40 : header + 76] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    with VideoReader(path, size=(32, 24), fit="stretch") as reader:
        picture = next(iter(reader)).rgb
    assert picture.shape == (32, 24, 3)
    assert corners(picture) == ["blue", "red", "white", "green"]


class TestBrokenFiles:
    def refused(self, path: Path | str, code: str) -> MediaError:
        with pytest.raises(MediaError) as caught, VideoReader(path) as reader:
            list(reader)
        assert caught.value.code == code
        return caught.value

    def test_no_such_file(self, tmp_path: Path) -> None:
        assert "no such file" in str(self.refused(tmp_path / "none.mp4", "V2V-E9002"))

    def test_not_a_video(self, tmp_path: Path) -> None:
        path = tmp_path / "junk.mp4"
        path.write_bytes(bytes(range(256)) * 20)
        self.refused(path, "V2V-E9002")

    def test_empty_file(self, tmp_path: Path) -> None:
        path = tmp_path / "empty.mp4"
        path.touch()
        self.refused(path, "V2V-E9002")

    def test_text_is_not_drawn_as_ansi_art(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("to be or not to be\n" * 40)
        self.refused(path, "V2V-E9003")

    def test_sound_only(self, tmp_path: Path) -> None:
        path = tmp_path / "sound.m4a"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=48_000)
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate = 48_000
            container.mux(stream.encode(silence))
            container.mux(stream.encode())
        assert "audio" in str(self.refused(path, "V2V-E9003"))

    @pytest.mark.parametrize("ending", ["mkv", "avi"])
    def test_no_frames(self, tmp_path: Path, ending: str) -> None:
        path = tmp_path / f"none.{ending}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=30)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            container.start_encoding()
        self.refused(path, "V2V-E9004")

    @pytest.mark.parametrize(
        ("ending", "codec", "options"),
        [
            ("mp4", "libx264", {"movflags": "faststart"}),
            ("mkv", "libx264", {}),
            ("avi", "mpeg4", {}),
        ],
    )
    def test_cut_short(self, tmp_path: Path, ending: str, codec: str, options: dict[str, str]) -> None:
        whole = make_video(tmp_path / f"whole.{ending}", frames=60, codec=codec, options=options, gop=5)
        with VideoReader(whole) as reader:
            assert len(list(reader)) == 60
        part = tmp_path / f"part.{ending}"
        part.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.7)])
        assert "frames" in str(self.refused(part, "V2V-E9005"))
        with VideoReader(part, salvage=True) as reader:
            saved = list(reader)
        assert 0 < len(saved) < 60
        assert all(corners(f.rgb) == ["red", "green", "blue", "white"] for f in saved)

    def test_cut_before_its_index(self, tmp_path: Path) -> None:
        whole = make_video(tmp_path / "whole.mp4", frames=60)
        part = tmp_path / "part.mp4"
        data = whole.read_bytes()
        part.write_bytes(data[: data.index(b"moov") // 2])
        self.refused(part, "V2V-E9002")

    def test_unknown_fit(self, tmp_path: Path) -> None:
        with pytest.raises(MediaError, match="V2V-E9008"):
            VideoReader(make_video(tmp_path / "a.mp4", frames=1), fit="zoom")  # type: ignore[arg-type]  # the point

    @pytest.mark.parametrize("source", ["camera:", "camera:x", "camera:-1", "camera:97"])
    def test_no_camera(self, source: str) -> None:
        self.refused(source, "V2V-E9009")

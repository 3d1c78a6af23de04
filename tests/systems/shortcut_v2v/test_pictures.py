from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_data import golden_tensors
from v2v_export.systems.shortcut_v2v.errors import GeometryError
from v2v_export.systems.shortcut_v2v.pictures import resize, to_rgb8, to_tensor

STREAM = golden_tensors("shortcut_v2v", "stream")


def test_input_matches_golden_to_the_bit() -> None:
    for index, wanted in enumerate(STREAM["input"]):
        assert torch.equal(to_tensor(STREAM["input_u8"][index].numpy())[0], wanted)


def test_output_matches_golden_to_the_bit() -> None:
    for picture, wanted in zip(STREAM["output"], STREAM["output_u8"], strict=True):
        assert np.array_equal(to_rgb8(picture), wanted.numpy())


def test_resize_and_normalise_match_golden() -> None:
    wanted = STREAM["preprocess.result"]
    resized = resize(STREAM["preprocess.source_u8"].numpy(), *wanted.shape[2:])
    assert torch.equal(to_tensor(resized), wanted)


def test_output_truncates_and_reaches_both_ends() -> None:
    levels = torch.tensor([-1.0, 0.0, 0.999 / 127.5 - 1, 1.0])
    got = to_rgb8(levels.view(1, 1, -1).expand(3, 1, -1))
    assert got.shape == (1, 4, 3)
    assert got[0, :, 0].tolist() == [0, 127, 0, 255]


def test_input_covers_the_whole_range() -> None:
    frame = np.zeros((1, 2, 3), np.uint8)
    frame[0, 1] = 255
    assert to_tensor(frame, torch.float64).flatten().tolist() == [-1, 1] * 3


def test_a_view_with_negative_strides_is_read_as_it_looks() -> None:
    frame = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert torch.equal(to_tensor(frame[::-1, :, ::-1]), to_tensor(frame[::-1, :, ::-1].copy()))


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        [[1]],
    ],
)
def test_other_arrays_are_refused(frame: object) -> None:
    with pytest.raises(GeometryError, match=r"V2V-E6015.*(?s:.*)uint8 array \[H, W, 3\]"):
        to_tensor(frame)  # type: ignore[arg-type]  # the error is what is tested

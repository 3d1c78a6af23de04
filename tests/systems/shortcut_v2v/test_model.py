from __future__ import annotations

import pytest
import torch
from golden_data import golden_config, golden_tensors
from torch.nn import functional
from v2v_export.systems.shortcut_v2v.errors import GeometryError
from v2v_export.systems.shortcut_v2v.model import (
    InstanceNorm,
    Level,
    ResnetGenerator,
    check_frame_size,
    frame_multiple,
    split_indices,
)


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts_of_the_paper() -> None:
    with torch.device("meta"):
        teacher = ResnetGenerator()
    assert _count(teacher) == 7_837_699
    split = teacher.split("medium")
    assert _count(split.encoder) + _count(split.decoder) == 166_531


@pytest.mark.parametrize(
    ("level", "cut", "channels", "scale"),
    [("low", (2, 20), 64, 1), ("medium", (5, 17), 128, 2), ("high", (10, 16), 256, 4)],
)
def test_split_of_the_paper(level: str, cut: tuple[int, int], channels: int, scale: int) -> None:
    with torch.device("meta"):
        split = ResnetGenerator().split(level)
        features = split.encoder(torch.zeros(1, 3, 256, 512))
    assert (split.start, split.end) == cut
    assert (split.channels, split.scale) == (channels, scale)
    wanted = (1, channels, 256 // scale, 512 // scale)
    assert features.shape == wanted
    assert split.middle(features).shape == wanted


@pytest.mark.parametrize("level", list(Level))
@pytest.mark.parametrize("n_blocks", [1, 6, 9])
def test_parts_make_the_whole_and_share_parameters(level: Level, n_blocks: int) -> None:
    torch.manual_seed(0)
    teacher = ResnetGenerator(4, n_blocks).eval()
    split = teacher.split(level)
    x = torch.randn(1, 3, 16, 24)
    assert torch.equal(split.decoder(split.middle(split.encoder(x))), teacher(x))
    parts = (split.encoder, split.middle, split.decoder)
    owned = [id(parameter) for part in parts for parameter in part.parameters()]
    assert owned == [id(parameter) for parameter in teacher.parameters()]
    assert split_indices(level, n_blocks) == (split.start, split.end)


def test_matches_golden_teacher(golden_teacher: ResnetGenerator) -> None:
    config = golden_config("shortcut_v2v")
    assert _count(golden_teacher) == config["teacher"]["parameters"]
    stream = golden_tensors("shortcut_v2v", "stream")
    n = min(len(stream["input"]), len(stream["teacher"]))
    got = golden_teacher(stream["input"][:n])
    floor = config["stream"]["fp32_vs_fp64_max_abs"]["teacher"]
    torch.testing.assert_close(got, stream["teacher"][:n], rtol=0, atol=10 * floor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_instance_norm_is_torchs(dtype: torch.dtype) -> None:
    x = 3 * torch.randn(2, 5, 7, 9, dtype=dtype) + 2
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), unbiased=False, keepdim=True)
    torch.testing.assert_close(InstanceNorm()(x), (x - mean) / (variance + 1e-5).sqrt())
    assert torch.equal(InstanceNorm()(x), functional.instance_norm(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_instance_norm_of_half_precision_takes_its_statistics_in_float32(dtype: torch.dtype) -> None:
    # 64 x 64 values near 30: their sum of squares is 3.7 million, far above float16's largest number.
    x = (30 + torch.randn(1, 2, 64, 64)).to(dtype)
    got = InstanceNorm()(x)
    assert got.dtype == dtype
    wanted = functional.instance_norm(x.double())
    torch.testing.assert_close(got.double(), wanted, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize(("level", "multiple"), [("low", 4), ("medium", 4), ("high", 8)])
def test_frame_multiple_is_the_least_that_works(level: str, multiple: int) -> None:
    assert frame_multiple(level) == multiple
    teacher = ResnetGenerator(4, 1).eval()
    split = teacher.split(level)
    for size in range(8, 41):
        a = split.encoder(torch.zeros(1, 3, size, 32))
        same_size = teacher(torch.zeros(1, 3, size, 32)).shape[2] == size
        works = same_size and a.shape[2] % 2 == 0 and a.shape[2] * split.scale == size
        assert works == (size % multiple == 0), size
        if works:
            check_frame_size(size, 32, level)
            check_frame_size(32, size, level)
        else:
            with pytest.raises(GeometryError, match=f"multiples of {multiple}"):
                check_frame_size(size, 32, level)
            with pytest.raises(GeometryError, match="V2V-E6010"):
                check_frame_size(32, size, level)


@pytest.mark.parametrize("size", [0, -8, 4])
def test_frames_too_small_are_refused(size: int) -> None:
    with pytest.raises(GeometryError, match="V2V-E6010"):
        check_frame_size(size, 32, "medium")


def test_smallest_frame_runs() -> None:
    assert ResnetGenerator(4, 1).eval()(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)


def test_an_odd_size_is_answered_with_one_that_works() -> None:
    with pytest.raises(GeometryError) as caught:
        check_frame_size(257, 510, "high")
    assert "use 256 x 512" in str(caught.value)


def test_unknown_level_names_the_known_ones() -> None:
    with pytest.raises(GeometryError, match=r"V2V-E6013.*(?s:.*)low.*medium.*high"):
        frame_multiple("midle")


def test_empty_teacher_is_refused() -> None:
    with pytest.raises(GeometryError, match="V2V-E6012"):
        ResnetGenerator(0)

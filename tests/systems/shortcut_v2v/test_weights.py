from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from golden_data import golden_config, golden_folder, golden_tensors
from safetensors.torch import save_file
from torch import Tensor
from v2v_export.systems.shortcut_v2v.errors import GeometryError, WeightsError
from v2v_export.systems.shortcut_v2v.random_weights import random_block, random_teacher
from v2v_export.systems.shortcut_v2v.weights import (
    DEAD_BLOCK_KEYS,
    block_from_tensors,
    load_block,
    load_teacher,
    random_seed,
    read_tensors,
    teacher_from_tensors,
)


@pytest.fixture
def teacher_state() -> dict[str, Tensor]:
    return {key: item.clone() for key, item in random_teacher(1, 4, 2).state_dict().items()}


@pytest.fixture
def block_state() -> dict[str, Tensor]:
    return {key: item.clone() for key, item in random_block(1, 16, 8).state_dict().items()}


def test_golden_weights_load_under_their_published_names() -> None:
    config = golden_config("shortcut_v2v")
    teacher = load_teacher(golden_folder("shortcut_v2v") / "teacher.safetensors")
    assert (teacher.ngf, teacher.n_blocks) == (config["teacher"]["ngf"], config["teacher"]["n_blocks"])
    stored = golden_tensors("shortcut_v2v", "teacher")
    assert teacher.state_dict().keys() == stored.keys()
    assert all(torch.equal(item, stored[key]) for key, item in teacher.state_dict().items())
    block = load_block(golden_folder("shortcut_v2v") / "shortcut.safetensors")
    stored = golden_tensors("shortcut_v2v", "shortcut")
    assert stored.keys() - block.state_dict().keys() == set(config["shortcut"]["unused_keys"])
    assert set(config["shortcut"]["unused_keys"]) == DEAD_BLOCK_KEYS
    assert all(torch.equal(item, stored[key]) for key, item in block.state_dict().items())


@pytest.mark.parametrize(("ngf", "n_blocks"), [(4, 1), (8, 6), (12, 9)])
def test_teacher_size_is_read_from_the_tensors(ngf: int, n_blocks: int) -> None:
    teacher = teacher_from_tensors(random_teacher(1, ngf, n_blocks).state_dict())
    assert (teacher.ngf, teacher.n_blocks) == (ngf, n_blocks)
    assert not teacher.training
    assert teacher(torch.zeros(1, 3, 8, 8)).isfinite().all()


@pytest.mark.parametrize(("feat_ch", "h"), [(16, 8), (32, 4), (8, 8)])
def test_block_size_is_read_from_the_tensors(feat_ch: int, h: int) -> None:
    block = block_from_tensors(random_block(1, feat_ch, h).state_dict())
    assert (block.feat_ch, block.h) == (feat_ch, h)
    assert not block.training


def test_prefix_is_stripped_and_decoder_keys_are_skipped(block_state: dict[str, Tensor]) -> None:
    wrapped = {f"module.{key}": item for key, item in block_state.items()}
    wrapped["module.decoder.0.weight"] = torch.zeros(3)
    wrapped["image_decoder_tail.bias"] = torch.zeros(3)
    loaded = block_from_tensors(wrapped).state_dict()
    assert all(torch.equal(loaded[key], item) for key, item in block_state.items())


def test_both_spellings_of_a_key_are_refused(block_state: dict[str, Tensor]) -> None:
    block_state["module.cr1.0.bias"] = block_state["cr1.0.bias"] + 1
    with pytest.raises(WeightsError, match=r"V2V-E6002.*cr1\.0\.bias"):
        block_from_tensors(block_state)


def test_exactly_the_dead_keys_are_ignored(block_state: dict[str, Tensor]) -> None:
    block_state["global_deform_conv.offset_conv.weight"] = torch.zeros(18, 8, 3, 3)
    block_state["global_deform_conv.offset_conv.bias"] = torch.zeros(18)
    block_from_tensors(block_state)
    for near in ("global_deform_conv.offset_conv.scale", "mask_deform_conv.offset_conv.weight"):
        with pytest.raises(WeightsError, match=f"V2V-E6002.*{near}"):
            block_from_tensors(block_state | {near: torch.zeros(1)})


def test_missing_key(teacher_state: dict[str, Tensor]) -> None:
    del teacher_state["model.10.conv_block.5.bias"]
    with pytest.raises(WeightsError, match=r"V2V-E6001.*1 missing: model\.10\.conv_block\.5\.bias"):
        teacher_from_tensors(teacher_state, "weights.safetensors")


def test_renamed_key_is_answered_with_the_nearest(teacher_state: dict[str, Tensor]) -> None:
    teacher_state["model.7.wieght"] = teacher_state.pop("model.7.weight")
    with pytest.raises(WeightsError) as caught:
        teacher_from_tensors(teacher_state)
    assert caught.value.code == "V2V-E6001"
    assert "model.7.weight (the file has model.7.wieght?)" in str(caught.value)
    assert "1 unknown: model.7.wieght (meant model.7.weight?)" in str(caught.value)


def test_unknown_key(teacher_state: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match=r"V2V-E6002.*1 unknown: model\.2\.running_mean"):
        teacher_from_tensors(teacher_state | {"model.2.running_mean": torch.zeros(4)})


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (torch.zeros(8, 4, 3, 2), r"is \[8, 4, 3, 2\], not \[8, 4, 3, 3\]"),
        (torch.zeros(8, 4, 3, 3, dtype=torch.int64), "is int64, not float"),
        (torch.full((8, 4, 3, 3), float("nan")), "holds NaN or infinity"),
    ],
)
def test_misshapen_tensor(teacher_state: dict[str, Tensor], tensor: Tensor, fault: str) -> None:
    with pytest.raises(WeightsError, match=rf"V2V-E6003.*model\.4\.weight {fault}"):
        teacher_from_tensors(teacher_state | {"model.4.weight": tensor})


@pytest.mark.parametrize(
    ("key", "shape", "wanted"),
    [
        ("model.1.weight", (4, 4, 7, 7), [4, 3, 7, 7]),
        ("model.1.weight", (4, 1, 7, 7), [4, 3, 7, 7]),
        ("model.19.weight", (1, 4, 7, 7), [3, 4, 7, 7]),
    ],
)
def test_a_teacher_that_is_not_rgb_to_rgb(
    teacher_state: dict[str, Tensor], key: str, shape: tuple[int, ...], wanted: list[int]
) -> None:
    assert list(teacher_state[key].shape) == wanted
    other = teacher_state | {key: torch.zeros(shape)}
    if key == "model.19.weight":
        other["model.19.bias"] = torch.zeros(shape[0])
    fault = f"{key} is {list(shape)}, not {wanted}"
    with pytest.raises(WeightsError, match=rf"V2V-E6003(?s:.*){re.escape(fault)}"):
        teacher_from_tensors(other)


def test_all_faults_stand_in_one_message_and_long_lists_are_cut(teacher_state: dict[str, Tensor]) -> None:
    # Eight keys: weight and bias of both convolutions of blocks 10 and 11, less one; then a transposed one.
    gone = [*[key for key in teacher_state if "conv_block" in key][:-1], "model.12.bias"]
    faulty = {key: item for key, item in teacher_state.items() if key not in gone}
    faulty |= {"model.1.weight": torch.zeros(4, 3, 7, 6), "extra": torch.zeros(1)}
    with pytest.raises(WeightsError) as caught:
        teacher_from_tensors(faulty, "somewhere.safetensors")
    text = str(caught.value)
    assert "somewhere.safetensors" in text
    assert "8 missing" in text
    assert "and 2 more" in text
    assert "1 unknown: extra" in text
    assert "1 wrong: model.1.weight" in text


def test_half_precision_weights_become_float32(block_state: dict[str, Tensor]) -> None:
    block = block_from_tensors({key: item.half() for key, item in block_state.items()})
    assert {parameter.dtype for parameter in block.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in block.parameters())


def test_weights_of_something_else(block_state: dict[str, Tensor], teacher_state: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match="V2V-E6005"):
        teacher_from_tensors(block_state)
    with pytest.raises(WeightsError, match="V2V-E6005"):
        block_from_tensors(teacher_state)
    with pytest.raises(WeightsError, match=r"V2V-E6005.*no tensors"):
        teacher_from_tensors({})
    # A claim of a million blocks costs nothing.
    with pytest.raises(WeightsError, match="V2V-E6005"):
        teacher_from_tensors(teacher_state | {"model.1000000.conv_block.1.weight": torch.zeros(1)})


def test_block_of_odd_channels_is_refused() -> None:
    with pytest.raises(GeometryError, match="V2V-E6012"):
        block_from_tensors({"cr1.0.weight": torch.zeros(6, 16, 1, 1)})


@pytest.mark.parametrize("zipped", [True, False])
def test_legacy_state_dict(tmp_path: Path, zipped: bool, teacher_state: dict[str, Tensor]) -> None:
    path = tmp_path / "latest_net_G_A.pth"
    torch.save(teacher_state, path, _use_new_zipfile_serialization=zipped)
    loaded = load_teacher(str(path)).state_dict()
    assert all(torch.equal(loaded[key], item) for key, item in teacher_state.items())


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_a_checkpoint_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    path, sprung = tmp_path / "evil.pth", tmp_path / "sprung"
    torch.save({"model.1.weight": _Trap(sprung)}, path)
    with pytest.raises(WeightsError, match="V2V-E6004"):
        load_teacher(path)
    assert not sprung.exists()


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"net": {"model.1.weight": torch.zeros(1)}}])
def test_a_checkpoint_of_other_things_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=r"V2V-E6004.*not a plain state dict"):
        read_tensors(path)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_file(tmp_path: Path, suffix: str, keep: int, block_state: dict[str, Tensor]) -> None:
    path = tmp_path / f"block.{suffix}"
    if suffix == "pth":
        torch.save(block_state, path)
    else:
        save_file(block_state, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match="V2V-E6004"):
        load_block(path)


def test_no_such_file_and_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"V2V-E6004.*nowhere\.safetensors"):
        load_teacher(tmp_path / "nowhere.safetensors")
    other = tmp_path / "weights.bin"
    other.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"V2V-E6004.*(?s:.*)\.safetensors, \.pth or \.pt"):
        load_teacher(other)


def test_random_specification() -> None:
    assert random_seed("random:12") == 12
    assert random_seed(f"random:{(1 << 63) - 1}") == 2**63 - 1, "every seed that a recipe may have"
    assert random_seed("weights/random.safetensors") is None
    teacher, block = load_teacher("random:5", ngf=4, n_blocks=1), load_block("random:5", feat_ch=8, h=4)
    assert torch.equal(teacher.model[1].weight, random_teacher(5, 4, 1).model[1].weight)
    assert torch.equal(block.cr1[0].weight, random_block(5, 8, 4).cr1[0].weight)


@pytest.mark.parametrize("spec", ["random:", "random:x", "random:-1", "random:1.5", f"random:{1 << 63}"])
def test_random_specification_that_is_none(spec: str) -> None:
    with pytest.raises(WeightsError, match="V2V-E6006"):
        load_teacher(spec)

"""Which files of published folders are read: the layouts of repositories on the hub."""

from __future__ import annotations

import pytest
from v2v_export.folder_layout import in_full, read_files, read_tensors


def test_a_pipeline_without_what_is_not_read() -> None:
    files = [
        "README.md",
        "model_index.json",
        "model.ckpt",
        "sd_xl_base_1.0.safetensors",
        "sd_xl_base_1.0_0.9vae.safetensors",
        "unet/config.json",
        "unet/d.safetensors",
        "unet/d.fp16.safetensors",
        "unet/d.bin",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "vae/x.safetensors",
    ]
    assert read_files(files, ("unet", "tokenizer", "text_encoder")) == [
        "model_index.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "unet/config.json",
        "unet/d.fp16.safetensors",
    ]
    assert "vae/x.safetensors" in read_files(files, ())


def test_a_module_alone_beside_files_of_another_implementation() -> None:
    """As TAESD is published."""
    files = ["config.json", "diffusion_pytorch_model.safetensors", "taesd_decoder.safetensors"]
    assert read_files(files, ("vae",)) == files[:2]


NAME = "diffusion_pytorch_model"
PARTS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
HALF_PARTS = ["model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"]
OLD_HALF_PARTS = ["model-00001-of-00002.fp16.safetensors", "model-00002-of-00002.fp16.safetensors"]


@pytest.mark.parametrize(
    ("beside", "read"),
    [
        # Stable Diffusion 1.5's UNet.
        ([f"{NAME}{kind}.safetensors" for kind in ("", ".fp16", ".non_ema")], [f"{NAME}.fp16.safetensors"]),
        ([f"{NAME}{kind}.safetensors" for kind in (".fp16", ".non_ema")], [f"{NAME}.fp16.safetensors"]),
        ([f"{NAME}{kind}.safetensors" for kind in ("", ".non_ema")], [f"{NAME}.safetensors"]),
        ([f"{NAME}{kind}.safetensors" for kind in ("", ".bf16")], [f"{NAME}.safetensors"]),
        (["model.safetensors", "model.fp16.safetensors", "openvino.safetensors"], ["model.fp16.safetensors"]),
        (PARTS, PARTS),
        ([*PARTS, *HALF_PARTS], HALF_PARTS),
        ([*PARTS, *OLD_HALF_PARTS], OLD_HALF_PARTS),
        ([*PARTS, "model.non_ema-00001-of-00001.safetensors"], PARTS),
        ([*PARTS, "model.safetensors"], ["model.safetensors"]),
        # Names that nobody prescribes.
        (["net.safetensors"], ["net.safetensors"]),
        ([f"{NAME}.non_ema.safetensors"], [f"{NAME}.non_ema.safetensors"]),
        (["net.safetensors", "net.fp16.safetensors"], ["net.fp16.safetensors"]),
        (["pytorch_lora_weights.safetensors", "a.safetensors"], ["pytorch_lora_weights.safetensors"]),
        # Which one is meant?
        (["a.safetensors", "b.safetensors"], []),
        (["a.fp16.safetensors", "b.fp16.safetensors"], []),
        ([f"{NAME}.non_ema.safetensors", f"{NAME}.bf16.safetensors"], []),
        ([], []),
    ],
    ids=str,
)
def test_one_of_several_forms_of_the_same_weights(beside: list[str], read: list[str]) -> None:
    assert read_tensors(reversed(beside)) == read


def test_the_full_form_of_what_is_read() -> None:
    unet = [f"{NAME}{kind}.safetensors" for kind in ("", ".fp16", ".non_ema")]
    assert in_full(read_tensors(unet), unet) == [f"{NAME}.safetensors"]
    assert in_full(read_tensors(unet[1:]), unet[1:]) == []
    assert in_full(read_tensors(unet[::2]), unet[::2]) == []
    assert in_full(read_tensors([*PARTS, *OLD_HALF_PARTS]), [*PARTS, *OLD_HALF_PARTS]) == PARTS
    assert in_full(["net.fp16.safetensors"], ["net.fp16.safetensors", "net.safetensors"]) == [
        "net.safetensors"
    ]

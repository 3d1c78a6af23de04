"""What a LoRA file notes of its alphas and is refused for."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file
from v2v_export.diffusion.errors import LoraError
from v2v_export.diffusion.lora_metadata import read_metadata

KEY = "lora_adapter_metadata"


def noted(folder: Path, notes: str) -> Path:
    path = folder / "noted.safetensors"
    save_file({}, path, {KEY: notes})
    return path


@pytest.mark.parametrize(
    ("notes", "word"),
    [
        ("{no json", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "a list"),
        ('{"unet.alpha_pattern": [1]}', "unet.alpha_pattern"),
        ('{"unet.alpha_pattern": {"to_q": "8"}}', "unet.alpha_pattern"),
        ('{"unet.lora_alpha": "eight"}', "unet.lora_alpha"),
        ('{"unet.lora_alpha": true}', "unet.lora_alpha"),
        ('{"unet.lora_alpha": NaN}', "unet.lora_alpha"),
        ('{"unet.lora_alpha": 1' + "0" * 400 + "}", "unet.lora_alpha"),
        ('{"unet.use_rslora": "false"}', "unet.use_rslora"),
    ],
    ids=lambda value: value[:24],
)
def test_notes_that_say_no_alpha(notes: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(LoraError) as caught:
        read_metadata(noted(tmp_path, notes), "style/lora.safetensors")
    assert caught.value.code == "V2V-E6112"
    assert word in str(caught.value)

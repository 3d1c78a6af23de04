"""Weights without the LCM-LoRA play LCM's steps all the same: that is told, and not refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from diffusion.published import write_folder
from safetensors.torch import save_file
from v2v_export.build.context import Context
from v2v_export.cli import main
from v2v_export.progress import SilentProgress
from v2v_export.recipe import load_recipe
from v2v_export.remarks import Remark
from v2v_export.store import Store
from v2v_export.systems.live2diff import SYSTEM
from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_export.systems.live2diff.sources import open_sources

OPTIONS = Live2DiffOptions(architecture="tiny_sd15", vae="tiny_taesd")
RANDOM = {"base": "random:0", "live2diff": "random:0", "depth": "random:0", "vae": "random:0"}


@pytest.fixture
def style(tmp_path: Path) -> Path:
    """A DreamBooth pipeline's folder."""
    write_folder(tmp_path / "style" / "unet", "tiny_sd15")
    write_folder(tmp_path / "style" / "text_encoder", "tiny_clip")
    return tmp_path / "style"


def test_spatial_weights_without_the_lora(style: Path) -> None:
    with pytest.warns(Remark, match="no lcm_lora under .* 2 LCM steps a frame"):
        open_sources({**RANDOM, "dreambooth": str(style)}, OPTIONS)


def test_nothing_is_told_of_the_lora_or_of_random_weights(style: Path, tmp_path: Path) -> None:
    layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    lora = {f"{layer}.lora_down.weight": torch.ones(2, 128), f"{layer}.lora_up.weight": torch.ones(128, 2)}
    save_file(lora, tmp_path / "lcm.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Remark)
        open_sources(RANDOM, OPTIONS)
        given = {**RANDOM, "dreambooth": str(style), "lcm_lora": str(tmp_path / "lcm.safetensors")}
        open_sources(given, OPTIONS)


@pytest.fixture
def recipe(style: Path) -> Path:
    text = SYSTEM.template()
    assert '# dreambooth = "style.safetensors"' in text
    path = style.parent / "v2v.toml"
    path.write_text(text.replace('# dreambooth = "style.safetensors"', f'dreambooth = "{style.name}"'))
    return path


def test_a_build_notes_it(recipe: Path, tmp_path: Path) -> None:
    context = Context(load_recipe(recipe), Store(tmp_path / "store"), SilentProgress(), {})
    context.model()
    (note,) = context.notes
    assert note.startswith("no lcm_lora under [weights]")


def test_explain_tells_it(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(recipe)]) == 0
    captured = capsys.readouterr()
    assert "no lcm_lora under [weights]" in captured.err
    assert "Remark" not in captured.err
    assert "lcm_lora" not in captured.out

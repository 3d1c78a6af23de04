"""LoRAs as networks and peft save them, with peft's configuration: judged by the network that saved them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from v2v_export.diffusion.configs import ARCHITECTURES
from v2v_export.diffusion.errors import LoraError
from v2v_export.diffusion.lora import fuse, open_loras
from v2v_export.diffusion.network_slots import SLOTS
from v2v_export.diffusion.random_weights import random_state
from v2v_export.store import Store
from v2v_export.systems.live2diff import SYSTEM as LIVE2DIFF
from v2v_export.weights import Scaled, recorded

Literal = Callable[..., Any]
NAME = "tiny_sd15"
LAYERS = r"(down_blocks\.0|mid_block|up_blocks\.3)\..*(attn1\.to_q|conv1)"
CHANGED = (2 + 2) + (1 + 2) + (3 + 3)
"""Layers of those names: transformers and resnets of a level down, of the middle, and of a level up."""

CONFIGS: Mapping[str, dict[str, Any]] = {
    "alpha": {"lora_alpha": 16},
    "root": {"lora_alpha": 16, "use_rslora": True},
    "ends": {"lora_alpha": 2, "alpha_pattern": {"attn1.to_q": 12, "resnets.0.conv1": 6}},
    "expressions": {"lora_alpha": 2, "alpha_pattern": {r"down_blocks.*to_[qk]": 12, "up_blocks.+conv1": 6}},
    "anchored": {"lora_alpha": 2, "alpha_pattern": {r"^mid_block\.attentions\.0.*to_q": 12, "to_": 40}},
    "the first counts": {"lora_alpha": 2, "alpha_pattern": {r".*attn1\.to_q": 12, "attn1.to_q": 20}},
}


def config(name: str) -> LoraConfig:
    return LoraConfig(r=4, target_modules=LAYERS, init_lora_weights=False, **CONFIGS[name])


def ours(path: Path) -> dict[str, Tensor]:
    of = ARCHITECTURES[NAME]
    plain = {key: item.float() for key, item in random_state(of, 0).items()}
    return fuse(plain, "unet", open_loras([Scaled(str(path))], {"unet": of}))


def check(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    plain = random_state(ARCHITECTURES[NAME], 0)
    changed = {key for key, item in wanted.items() if not torch.equal(item, plain[key].float())}
    assert found.keys() == wanted.keys()
    assert len(changed) == CHANGED
    assert max(float((found[key] - wanted[key]).abs().max()) for key in wanted) < 1e-5
    # The updates are not small beside that tolerance.
    assert min(float((wanted[key] - plain[key]).abs().max()) for key in changed) > 1e-2


def mistake(path: Path) -> str:
    with pytest.raises(LoraError) as caught:
        open_loras([Scaled(str(path))], {"unet": ARCHITECTURES[NAME]})
    assert caught.value.code == "V2V-E6112"
    return str(caught.value)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_network_that_saved_itself(name: str, tmp_path: Path, literal: Literal) -> None:
    """``save_lora_adapter`` writes layers and notes without a component's name."""
    unet = literal(NAME)
    unet.add_adapter(config(name))
    unet.save_lora_adapter(tmp_path)
    path = tmp_path / "pytorch_lora_weights.safetensors"
    assert all(key.startswith(("down_blocks.", "mid_block.", "up_blocks.")) for key in load_file(path))
    again = literal(NAME)
    again.load_lora_adapter(tmp_path, prefix=None, weight_name=path.name)
    for network in (unet, again):
        network.fuse_lora()
        network.unload_lora()
        check(ours(path), network.state_dict())


@pytest.mark.parametrize("name", CONFIGS)
def test_pefts_own_folder(name: str, tmp_path: Path, literal: Literal) -> None:
    """The configuration is in a file of its own beside the tensors."""
    adapted = get_peft_model(literal(NAME), config(name))
    adapted.save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    assert all(key.startswith("base_model.model.") for key in load_file(path))
    check(ours(path), adapted.merge_and_unload().state_dict())


@pytest.mark.parametrize("name", ["expressions", "the first counts"])
def test_a_pipelines_notes(name: str, tmp_path: Path, literal: Literal) -> None:
    from diffusers import StableDiffusionPipeline
    from peft.utils import get_peft_model_state_dict

    unet = literal(NAME)
    unet.add_adapter(config(name))
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(unet),
        unet_lora_adapter_metadata=unet.peft_config["default"].to_dict(),
    )
    unet.fuse_lora()
    unet.unload_lora()
    check(ours(tmp_path / "pytorch_lora_weights.safetensors"), unet.state_dict())


def peft_file(folder: Path, alpha: float | None = None) -> Path:
    """One layer as peft saves it: rank 2 of ones, so that an update is 2 alpha / rank = alpha."""
    layer = "base_model.model.unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = {f"{layer}.lora_A.weight": torch.ones(2, 128), f"{layer}.lora_B.weight": torch.ones(128, 2)}
    if alpha is not None:
        tensors[f"{layer}.alpha"] = torch.tensor(alpha)
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder / "adapter_model.safetensors"


def update(path: Path) -> float:
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    difference = ours(path)[name] - random_state(ARCHITECTURES[NAME], 0)[name]
    assert float(difference.max() - difference.min()) < 1e-5
    return float(difference.mean())


def test_an_alpha_that_nothing_says(tmp_path: Path) -> None:
    path = peft_file(tmp_path)
    assert "adapter_config.json in the same folder" in mistake(path)
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 6, "r": 2}')
    assert update(path) == pytest.approx(6, abs=1e-5)


def test_a_pattern_names_the_wrapped_modules_place(tmp_path: Path) -> None:
    path = peft_file(tmp_path)
    patterns = {r"^mid_block.*": 10, r"^unet\.mid_block.*": 3}
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 6, "alpha_pattern": patterns}))
    assert update(path) == pytest.approx(3, abs=1e-5)


def test_a_tensor_of_alpha_needs_no_configuration(tmp_path: Path) -> None:
    assert update(peft_file(tmp_path, 5.0)) == pytest.approx(5, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{no json", "no JSON"),
        ("[]", "a list"),
        ('{"lora_alpha": "eight"}', "lora_alpha"),
        ('{"use_rslora": 1}', "use_rslora = 1"),
        ('{"alpha_pattern": {"attn[": 8}}', 'alpha_pattern = {"attn[": 8}'),
    ],
)
def test_a_configuration_that_cannot_be_read(text: str, word: str, tmp_path: Path) -> None:
    path = peft_file(tmp_path)
    (tmp_path / "adapter_config.json").write_text(text)
    said = mistake(path)
    assert "adapter_config.json beside it" in said
    assert word in said


def test_a_pattern_in_a_files_notes_that_is_no_expression(tmp_path: Path) -> None:
    path = tmp_path / "noted.safetensors"
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = {f"{layer}.lora_A.weight": torch.ones(2, 128), f"{layer}.lora_B.weight": torch.ones(128, 2)}
    save_file(tensors, path, {"lora_adapter_metadata": '{"unet.alpha_pattern": {"*to_q": 8}}'})
    assert re.search(r"unet\.alpha_pattern = .*\*to_q", mistake(path))


def test_the_configuration_counts_in_what_is_recorded(tmp_path: Path) -> None:
    path, digest = peft_file(tmp_path), Store(tmp_path / "store").digest
    slots = [slot for slot in (*SLOTS, *LIVE2DIFF.weights) if "lora" in slot.name]
    assert len(slots) == 3
    for slot in slots:
        (tmp_path / "adapter_config.json").unlink(missing_ok=True)
        without = recorded(str(path), slot, digest)
        assert without.keys() == {"file", "sha256"}
        (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 6}')
        six = recorded(str(path), slot, digest)
        (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 12}')
        assert without != six != recorded(str(path), slot, digest)
        assert without["sha256"] == six["sha256"]

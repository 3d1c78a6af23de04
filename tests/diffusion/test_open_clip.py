"""Text encoders in checkpoints of one file by OpenCLIP's names: SD2.1's and SDXL's second one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
from diffusion.published import open_clip_names
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection
from v2v_export.diffusion.configs import ARCHITECTURES
from v2v_export.diffusion.errors import WeightsError
from v2v_export.diffusion.sources import open_module

XL = "conditioner.embedders.1.model."
SD2 = "cond_stage_model.model."


def opened(file: Mapping[str, Tensor], part: str, name: str | None, folder: Path) -> Any:
    path = folder / "model.safetensors"
    save_file(dict(file), path)
    return open_module(str(path), part, name)  # type: ignore[arg-type]  # parts as plain texts


@pytest.mark.parametrize("name", [None, "tiny_open_clip_projected"])
def test_sdxls_second_encoder_as_diffusers_converts_it(name: str | None, tmp_path: Path) -> None:
    of = ARCHITECTURES["tiny_open_clip_projected"]
    file = open_clip_names(XL)
    file["conditioner.embedders.0.transformer.text_model.final_layer_norm.bias"] = torch.zeros(32)
    source = opened(file, "text_encoder_2", name, tmp_path)
    assert source.architecture.name == of.name
    judge = CLIPTextModelWithProjection(CLIPTextConfig(**of.config))
    wanted = convert_open_clip_checkpoint(judge, file, prefix=XL)
    found = source.load().state_dict()
    assert found.keys() == wanted.keys() == judge.state_dict().keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def literal_tower(file: Mapping[str, Tensor], tokens: Tensor, heads: int) -> Tensor:
    """OpenCLIP's text tower as its code computes it, from its own tensors: [B, 77] -> [B, projected]."""
    x = file["token_embedding.weight"][tokens] + file["positional_embedding"]
    mask = torch.full((77, 77), -torch.inf).triu(1)
    for index in range(2):
        part = {
            key.removeprefix(f"transformer.resblocks.{index}."): item
            for key, item in file.items()
            if key.startswith(f"transformer.resblocks.{index}.")
        }
        attention = torch.nn.MultiheadAttention(32, heads, batch_first=True)
        attention.load_state_dict(
            {key.removeprefix("attn."): item for key, item in part.items() if key.startswith("attn.")}
        )
        y = torch.nn.functional.layer_norm(x, (32,), part["ln_1.weight"], part["ln_1.bias"])
        x = x + attention(y, y, y, need_weights=False, attn_mask=mask)[0]
        y = torch.nn.functional.layer_norm(x, (32,), part["ln_2.weight"], part["ln_2.bias"])
        y = torch.nn.functional.gelu(y @ part["mlp.c_fc.weight"].T + part["mlp.c_fc.bias"])
        x = x + y @ part["mlp.c_proj.weight"].T + part["mlp.c_proj.bias"]
    x = torch.nn.functional.layer_norm(x, (32,), file["ln_final.weight"], file["ln_final.bias"])
    return x[torch.arange(len(tokens)), tokens.argmax(-1)] @ file["text_projection"]


def test_the_loaded_encoder_computes_what_open_clip_does(tmp_path: Path) -> None:
    """Queries, keys and values in their order, and the projection the right way round."""
    file = open_clip_names(XL)
    encoder = opened(file, "text_encoder_2", None, tmp_path).load()
    tokens = torch.randint(1, 49406, (2, 77), generator=torch.Generator().manual_seed(2))
    tokens[0, 9], tokens[1, 40] = 49407, 49407
    bare = {key.removeprefix(XL): item for key, item in file.items()}
    wanted = literal_tower(bare, tokens, heads=2)
    assert float(wanted.abs().max()) > 0.5
    torch.testing.assert_close(encoder(tokens).text_embeds, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [None, "tiny_open_clip"])
def test_sd21s_encoder_ends_one_layer_early(name: str | None, tmp_path: Path) -> None:
    file = open_clip_names(SD2, layers=3)
    source = opened(file, "text_encoder", name, tmp_path)
    found = source.load().state_dict()
    first = {key: item for key, item in file.items() if not re.search(r"resblocks\.2\.|projection", key)}
    assert sum(item.numel() for item in found.values()) == sum(item.numel() for item in first.values()) - 1
    value = file[f"{SD2}transformer.resblocks.1.attn.in_proj_weight"][64:]
    assert torch.equal(found["encoder.layers.1.self_attn.v_proj.weight"], value)
    assert torch.equal(found["final_layer_norm.bias"], file[f"{SD2}ln_final.bias"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("deeper", "V2V-E6103"),
        ("shallower", "V2V-E6102"),
        ("wider", "V2V-E6104"),
        ("unknown", "V2V-E6103"),
    ],
)
def test_a_tower_of_another_size(change: str, code: str, tmp_path: Path) -> None:
    layers = {"deeper": 3, "shallower": 1}.get(change, 2)
    file = open_clip_names(XL, layers, 48 if change == "wider" else 32)
    if change == "unknown":
        file[f"{XL}transformer.resblocks.0.mlp.c_gate.weight"] = torch.zeros(4)
    with pytest.raises(WeightsError) as caught:
        opened(file, "text_encoder_2", "tiny_open_clip_projected", tmp_path)
    assert caught.value.code == code

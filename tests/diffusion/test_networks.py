"""Which part of a recipe's weights each network comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusion.published import open_clip_names, original_unet_names, original_vae_names
from safetensors.torch import save_file
from v2v_export.diffusion.configs import ARCHITECTURES, build
from v2v_export.diffusion.errors import LoraError, WeightsError
from v2v_export.diffusion.network_slots import AUTOENCODERS, SLOTS, TEXT_ENCODERS
from v2v_export.diffusion.networks import open_networks
from v2v_export.diffusion.prompt_errors import PromptError
from v2v_export.diffusion.prompting import Form
from v2v_export.diffusion.random_weights import random_state
from v2v_export.weights import Scaled

BASE = {"base": "random:0"}
KEY = "mid_block.resnets.0.conv1.weight"


def test_random_weights_make_every_network() -> None:
    found = open_networks(BASE, unet="tiny_sdxl", vae="tiny_kl", prompt="tokens")
    names = (found.unet.architecture.name, found.vae.architecture.name)
    assert names == ("tiny_sdxl", "tiny_kl")
    assert tuple(item.architecture.name for item in found.encoders) == TEXT_ENCODERS["tiny_sdxl"]
    assert found.tokenizer is not None
    assert set(found.tokenizer) == {"tokenizer_1", "tokenizer_2", "config"}
    assert found.unet.parameters == sum(item.numel() for item in found.unet.load().parameters())


def test_one_encoder_has_one_tokenizer() -> None:
    found = open_networks(BASE, unet="tiny_sd15", vae="tiny_taesd", prompt="tokens")
    assert len(found.encoders) == 1
    assert found.tokenizer is not None
    assert set(found.tokenizer) == {"tokenizer_1", "config"}


def test_a_part_takes_the_place_of_the_bases(tmp_path: Path) -> None:
    file = tmp_path / "unet.safetensors"
    save_file(random_state(ARCHITECTURES["tiny_sd15"], 7), file)
    plain = open_networks(BASE, unet="tiny_sd15", vae="tiny_taesd", prompt="tokens")
    given = open_networks(
        {**BASE, "unet": str(file), "vae": "random:3", "text": "random:4"},
        unet="tiny_sd15",
        vae="tiny_taesd",
        prompt="tokens",
    )
    state = given.unet.load().state_dict()
    assert torch.equal(state[KEY], random_state(ARCHITECTURES["tiny_sd15"], 7)[KEY])
    for before, after in ((plain.vae, given.vae), (plain.encoders[0], given.encoders[0])):
        one, other = (next(iter(item.load().parameters())) for item in (before, after))
        assert not torch.equal(one, other)


def test_embeddings_need_no_text_encoder(tmp_path: Path) -> None:
    file = str(tmp_path / "prompt.safetensors")
    found = open_networks({**BASE, "prompt": file}, unet="tiny_sd15", vae="tiny_taesd", prompt="embeddings")
    assert found.encoders == ()
    assert found.tokenizer is None
    assert found.embeddings == file
    without = open_networks(BASE, unet="tiny_sd15", vae="tiny_taesd", prompt="embeddings")
    assert len(without.encoders) == 1
    assert without.embeddings is None


def lora(path: Path, keys: dict[str, torch.nn.Linear]) -> str:
    tensors = {}
    for key, module in keys.items():
        tensors[f"{key}.lora_down.weight"] = torch.ones(1, module.in_features)
        tensors[f"{key}.lora_up.weight"] = torch.ones(module.out_features, 1)
    save_file(tensors, path)
    return str(path)


def test_a_lora_for_absent_text_encoders_still_fits(tmp_path: Path) -> None:
    unet = build(ARCHITECTURES["tiny_sd15"]).get_submodule("time_embedding.linear_1")
    text = build(ARCHITECTURES["tiny_clip"]).get_submodule("encoder.layers.0.mlp.fc1")
    assert isinstance(unet, torch.nn.Linear)
    assert isinstance(text, torch.nn.Linear)
    keys = {
        "lora_unet_time_embedding_linear_1": unet,
        "lora_te_text_model_encoder_layers_0_mlp_fc1": text,
    }
    weights = {**BASE, "lora": (Scaled(lora(tmp_path / "a.safetensors", keys)),)}
    both = open_networks(weights, unet="tiny_sd15", vae="tiny_taesd", prompt="tokens")
    plain = open_networks(BASE, unet="tiny_sd15", vae="tiny_taesd", prompt="tokens")
    name = "encoder.layers.0.mlp.fc1.weight"
    before, after = (item.encoders[0].load().state_dict()[name] for item in (plain, both))
    torch.testing.assert_close(after, before + 1, rtol=0, atol=1e-3)
    weights |= {"prompt": "embeddings.safetensors"}
    alone = open_networks(weights, unet="tiny_sd15", vae="tiny_taesd", prompt="embeddings")
    state = alone.unet.load().state_dict()["time_embedding.linear_1.weight"]
    expected = plain.unet.load().state_dict()["time_embedding.linear_1.weight"] + 1
    torch.testing.assert_close(state, expected, rtol=0, atol=1e-3)


OF_UNET = "lora_unet_time_embedding_linear_1"
OF_SECOND = "lora_te2_text_model_encoder_layers_0_mlp_fc1"


@pytest.mark.parametrize("prompt", ["tokens", "embeddings"])
@pytest.mark.parametrize(
    ("unet", "keys", "code"),
    [
        ("tiny_sd15", [], "V2V-E6110"),
        # SD1.5 has one text encoder: its embeddings cannot hold what a LoRA has for a second one.
        ("tiny_sd15", [OF_SECOND], "V2V-E6110"),
        ("tiny_sd15", [OF_UNET, OF_SECOND], "V2V-E6111"),
        ("tiny_sdxl", ["lora_te2_nonsense"], "V2V-E6110"),
        ("tiny_sdxl", [OF_UNET, "lora_te2_nonsense"], "V2V-E6111"),
    ],
)
def test_a_lora_for_text_encoders_that_no_stream_of_the_architecture_has(
    prompt: Form, unet: str, keys: list[str], code: str, tmp_path: Path
) -> None:
    linear = build(ARCHITECTURES[unet]).get_submodule("time_embedding.linear_1")
    assert isinstance(linear, torch.nn.Linear)
    file = lora(tmp_path / "a.safetensors", dict.fromkeys(keys, linear))
    weights = {**BASE, "prompt": "embeddings.safetensors"} if prompt == "embeddings" else BASE
    with pytest.raises(LoraError, match=code):
        open_networks({**weights, "lora": (Scaled(file),)}, unet=unet, vae="tiny_taesd", prompt=prompt)


def test_a_lora_for_the_second_text_encoder_goes_into_sdxls_embeddings(tmp_path: Path) -> None:
    text = build(ARCHITECTURES["tiny_open_clip_projected"]).get_submodule(
        "text_model.encoder.layers.0.mlp.fc1"
    )
    assert isinstance(text, torch.nn.Linear)
    weights = {**BASE, "lora": (Scaled(lora(tmp_path / "a.safetensors", {OF_SECOND: text})),)}
    given = open_networks(weights, unet="tiny_sdxl", vae="tiny_taesd", prompt="tokens")
    plain = open_networks(BASE, unet="tiny_sdxl", vae="tiny_taesd", prompt="tokens")
    name = "text_model.encoder.layers.0.mlp.fc1.weight"
    before, after = (item.encoders[1].load().state_dict()[name] for item in (plain, given))
    torch.testing.assert_close(after, before + 1, rtol=0, atol=1e-3)
    weights |= {"prompt": "embeddings.safetensors"}
    alone = open_networks(weights, unet="tiny_sdxl", vae="tiny_taesd", prompt="embeddings")
    assert alone.encoders == ()


def test_a_lora_that_fits_nothing(tmp_path: Path) -> None:
    file = lora(tmp_path / "a.safetensors", {"lora_unet_foreign": torch.nn.Linear(4, 4)})
    with pytest.raises(LoraError, match="V2V-E6110"):
        open_networks({**BASE, "lora": (Scaled(file),)}, unet="tiny_sd15", vae="tiny_taesd", prompt="tokens")


def test_a_checkpoint_in_one_file_beside_a_tokenizer(tmp_path: Path) -> None:
    """As SDXL and its finetunes are published: every network in one file, and text encoders of its own."""
    unet, clip = (random_state(ARCHITECTURES[name], 7) for name in ("tiny_sdxl", "tiny_clip"))
    first, second = "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."
    state = original_unet_names(unet) | original_vae_names(random_state(ARCHITECTURES["tiny_kl"], 7))
    state |= {f"{first}{key}": item for key, item in clip.items()} | open_clip_names(second)
    file = tmp_path / "xl.safetensors"
    save_file({key: item.contiguous() for key, item in state.items()}, file)
    given = {"base": str(file), "tokenizer": "random:0"}
    found = open_networks(given, unet="tiny_sdxl", vae="tiny_kl", prompt="tokens")
    assert torch.equal(found.unet.load().state_dict()[KEY], unet[KEY])
    loaded = [item.load().state_dict() for item in found.encoders]
    assert all(torch.equal(loaded[0][key], item) for key, item in clip.items())
    assert torch.equal(loaded[1]["text_projection.weight"], state[f"{second}text_projection"].T)
    assert found.tokenizer is not None
    assert set(found.tokenizer) == {"tokenizer_1", "tokenizer_2", "config"}
    with pytest.raises(PromptError, match=r"(?s)V2V-E6164.*as tokenizer beside a checkpoint in one file"):
        open_networks({"base": str(file)}, unet="tiny_sdxl", vae="tiny_kl", prompt="tokens")


def test_a_taesd_beside_a_checkpoint_must_be_given(tmp_path: Path) -> None:
    file = tmp_path / "unet.safetensors"
    save_file(random_state(ARCHITECTURES["tiny_sd15"], 0), file)
    with pytest.raises(WeightsError, match="V2V-E6100") as caught:
        open_networks({"base": str(file), "text": "random:0"}, unet="tiny_sd15", vae="taesd", prompt="tokens")
    assert 'vae = "hub:madebyollin/taesd"' in caught.value.fix
    assert 'vae = "tiny_kl"' in caught.value.fix


def test_every_unet_has_the_autoencoders_of_its_latents() -> None:
    """SD's and SDXL's are equal in shape; the scale of the KL one's latents tells them apart."""
    assert AUTOENCODERS.keys() == TEXT_ENCODERS.keys()
    for unet, (small, full) in AUTOENCODERS.items():
        assert (ARCHITECTURES[small].kind, ARCHITECTURES[full].kind) == ("tiny_vae", "kl")
        assert ARCHITECTURES[full].config["scaling_factor"] == (0.13025 if unet == "sdxl" else 0.18215)
        assert ("xl" in small) == (unet == "sdxl")


def test_slots_are_what_is_read() -> None:
    assert [slot.name for slot in SLOTS] == ["base", "unet", "vae", "text", "tokenizer", "prompt", "lora"]
    assert [slot.name for slot in SLOTS if slot.required] == ["base"]

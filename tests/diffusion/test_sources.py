"""Modules of weights values: every form, and what each mistake is told."""

from __future__ import annotations

import gc
import json
import shutil
import warnings
import weakref
from pathlib import Path

import pytest
import torch
from diffusion.published import original_unet_names, original_vae_names, write_folder
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from v2v_export.diffusion.configs import ARCHITECTURES
from v2v_export.diffusion.errors import WeightsError
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.sources import open_module
from v2v_export.errors import RecipeError
from v2v_export.hub import forget
from v2v_export.remarks import Remark

PARTS = {
    "unet": "tiny_sd15",
    "vae": "tiny_kl",
    "text_encoder": "tiny_clip",
    "text_encoder_2": "tiny_open_clip_projected",
}


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A pipeline's folder with four narrow modules."""
    for part, name in PARTS.items():
        write_folder(tmp_path / "pipe" / part, name)
    return tmp_path / "pipe"


def same(module: torch.nn.Module, name: str, seed: int = 0) -> bool:
    state = module.state_dict()
    wanted = random_state(ARCHITECTURES[name], seed)
    return state.keys() == wanted.keys() and all(torch.equal(state[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("part", PARTS)
def test_a_folder_of_a_pipeline_and_of_one_module(part: str, pipeline: Path) -> None:
    for value in (pipeline, pipeline / part):
        source = open_module(str(value), part)  # type: ignore[arg-type]  # the keys of PARTS are parts
        assert source.architecture.config == ARCHITECTURES[PARTS[part]].config
        module = source.load()
        assert same(module, PARTS[part])
        assert not module.training
        assert {item.dtype for item in module.parameters()} == {torch.float16}
        assert not any(item.is_meta for item in (*module.parameters(), *module.buffers()))
        assert source.parameters == sum(item.numel() for item in module.parameters())


def test_each_load_is_the_callers_own(pipeline: Path) -> None:
    source = open_module(str(pipeline), "unet", "tiny_sd15")
    first = weakref.ref(source.load())
    gc.collect()
    assert first() is None


def test_a_part_of_a_module(pipeline: Path) -> None:
    for value in (str(pipeline), "random:0"):
        module = open_module(value, "unet", "tiny_sd15").load(lambda name: ".attn2.to_k." in name)
        wanted = random_state(ARCHITECTURES["tiny_sd15"], 0)
        for name, item in module.state_dict().items():
            assert item.is_meta == (".attn2.to_k." not in name)
            if not item.is_meta:
                assert torch.equal(item, wanted[name])


def test_a_file_tells_its_architecture_by_its_shapes(pipeline: Path) -> None:
    path = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
    source = open_module(str(path), "unet")
    assert source.architecture.name == "tiny_sd15"
    assert same(source.load(), "tiny_sd15")


def test_half_precision_is_preferred_and_parts_are_joined(pipeline: Path) -> None:
    place = pipeline / "unet"
    state = random_state(ARCHITECTURES["tiny_sd15"], 5)
    save_file(state, place / "diffusion_pytorch_model.fp16.safetensors")
    assert same(open_module(str(pipeline), "unet").load(), "tiny_sd15", 5)
    for path in place.glob("*.safetensors"):
        path.unlink()
    names = sorted(state)
    for index, part in enumerate((names[::2], names[1::2]), 1):
        path = place / f"diffusion_pytorch_model-{index:05d}-of-00002.safetensors"
        save_file({name: state[name] for name in part}, path)
    assert same(open_module(str(pipeline), "unet").load(), "tiny_sd15", 5)


def test_a_file_of_half_precision_beside_a_full_one_is_told(pipeline: Path) -> None:
    place = pipeline / "unet"
    with warnings.catch_warnings():
        warnings.simplefilter("error", Remark)
        open_module(str(pipeline), "unet")
    state = random_state(ARCHITECTURES["tiny_sd15"], 5)
    save_file(state, place / "diffusion_pytorch_model.fp16.safetensors")
    with pytest.warns(Remark, match=r"unet: diffusion_pytorch_model\.fp16\.safetensors is read, and not"):
        open_module(str(pipeline), "unet")
    (place / "diffusion_pytorch_model.safetensors").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error", Remark)
        open_module(str(pipeline), "unet")


def test_weights_from_before_averaging_do_not_count(pipeline: Path) -> None:
    """As Stable Diffusion 1.5's UNet is published. With fp16 taken out, diffusers' standard file is next."""
    place = pipeline / "unet"
    names = {"": 0, ".fp16": 5, ".non_ema": 6}
    for kind, seed in names.items():
        state = random_state(ARCHITECTURES["tiny_sd15"], seed)
        save_file(state, place / f"diffusion_pytorch_model{kind}.safetensors")
    with pytest.warns(Remark, match=r"and not diffusion_pytorch_model\.safetensors beside it"):
        assert same(open_module(str(pipeline), "unet").load(), "tiny_sd15", 5)
    full = place / "diffusion_pytorch_model.safetensors"
    aside = full.rename(place / "aside")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Remark)
        assert same(open_module(str(pipeline), "unet").load(), "tiny_sd15", 5)
        aside.rename(full)
        (place / "diffusion_pytorch_model.fp16.safetensors").unlink()
        assert same(open_module(str(pipeline), "unet").load(), "tiny_sd15", 0)
    (place / "other.safetensors").touch()
    full.unlink()
    assert code(pipeline)[0] == "V2V-E6101"


def test_names_of_old_autoencoders_and_text_encoders(tmp_path: Path) -> None:
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for name, item in random_state(ARCHITECTURES["tiny_kl"], 0).items():
        if ".attentions." in name:
            for new, was in old.items():
                name = name.replace(f".{new}.", f".{was}.")
            item = item[:, :, None, None] if item.ndim == 2 else item
        state[name] = item.contiguous()
    assert any(".proj_attn." in name for name in state)
    write_folder(tmp_path / "vae", "tiny_kl", tensors=state)
    assert same(open_module(str(tmp_path / "vae"), "vae").load(), "tiny_kl")
    text = {f"text_model.{k}": v for k, v in random_state(ARCHITECTURES["tiny_clip"], 0).items()}
    text["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    write_folder(tmp_path / "text", "tiny_clip", tensors=text)
    assert same(open_module(str(tmp_path / "text"), "text_encoder").load(), "tiny_clip")


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_a_single_file_of_the_original_implementation(suffix: str, tmp_path: Path) -> None:
    state = original_unet_names(random_state(ARCHITECTURES["tiny_sd15"], 0))
    assert "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight" in state
    assert "model.diffusion_model.output_blocks.5.2.conv.weight" in state
    state["first_stage_model.encoder.conv_in.bias"] = torch.zeros(3, dtype=torch.float16)
    path = tmp_path / f"style{suffix}"
    if suffix == ".ckpt":
        torch.save({"state_dict": state, "epoch": 3}, path)
    else:
        save_file(state, path)
    for name in (None, "tiny_sd15"):
        source = open_module(str(path), "unet", name)
        assert source.architecture.name == "tiny_sd15"
        assert same(source.load(), "tiny_sd15")


def test_every_module_of_a_single_file(tmp_path: Path) -> None:
    """As a DreamBooth checkpoint of SD1.5 is published: everything in one file."""
    state = original_unet_names(random_state(ARCHITECTURES["tiny_sd15"], 0))
    state |= original_vae_names(random_state(ARCHITECTURES["tiny_kl"], 0))
    assert "first_stage_model.decoder.up.3.upsample.conv.weight" in state
    assert state["first_stage_model.encoder.mid.attn_1.q.weight"].ndim == 4
    text = random_state(ARCHITECTURES["tiny_clip"], 0)
    state |= {f"cond_stage_model.transformer.text_model.{key}": item for key, item in text.items()}
    positions = "cond_stage_model.transformer.text_model.embeddings.position_ids"
    state[positions] = torch.arange(77)[None]
    state["alphas_cumprod"] = torch.ones(1000)
    path = tmp_path / "dreambooth.safetensors"
    save_file({key: item.contiguous() for key, item in state.items()}, path)
    for part in ("unet", "vae", "text_encoder"):
        for name in (None, PARTS[part]):
            source = open_module(str(path), part, name)  # type: ignore[arg-type]  # parts as plain texts
            assert same(source.load(), PARTS[part])


def test_a_repository_in_the_hubs_cache(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    forget()
    with pytest.raises(RecipeError, match="V2V-E5008"):
        open_module("hub:some/pipe", "unet")
    place = tmp_path / "hub" / "models--some--pipe"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    shutil.copytree(pipeline, place / "snapshots" / ("0" * 40))
    assert same(open_module("hub:some/pipe", "unet").load(), "tiny_sd15")


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.ckpt"
    torch.save({"state_dict": {"a": Path("x")}}, path)
    with pytest.raises(WeightsError) as caught:
        open_module(str(path), "unet")
    assert caught.value.code == "V2V-E6101"


def code(value: object, part: str = "unet", name: str | None = None) -> tuple[str, str]:
    with pytest.raises(WeightsError) as caught:
        open_module(str(value), part, name).load()  # type: ignore[arg-type]  # parts as plain texts
    return caught.value.code, str(caught.value)


def test_weights_of_another_architecture(pipeline: Path) -> None:
    write_folder(pipeline / "xl", "tiny_sdxl")
    for value in (pipeline / "xl", pipeline / "xl" / "diffusion_pytorch_model.safetensors"):
        found, text = code(value, name="tiny_sd15")
        assert found == "V2V-E6106"
        assert "tiny_sdxl" in text
        assert "tiny_sd15" in text
    found, text = code(pipeline / "unet", part="vae")
    assert (found, "UNet2DConditionModel" in text) == ("V2V-E6107", True)
    assert code(pipeline / "unet" / "diffusion_pytorch_model.safetensors", part="vae")[0] == "V2V-E6106"
    config = json.loads((pipeline / "unet" / "config.json").read_text())
    config["cross_attention_dim"] = 48
    (pipeline / "unet" / "config.json").write_text(json.dumps(config))
    found, text = code(pipeline, name="tiny_sd15")
    assert found == "V2V-E6106"
    assert "cross_attention_dim = 48, not 32" in text


def vae_config(folder: Path, **entries: object) -> Path:
    """The configuration of a published KL autoencoder, without tensors."""
    config = {key: item for key, item in ARCHITECTURES["kl_sd"].config.items() if key != "scaling_factor"}
    (folder / "vae").mkdir(exist_ok=True)
    (folder / "vae" / "config.json").write_text(
        json.dumps({"_class_name": "AutoencoderKL", **config, "sample_size": 256, **entries})
    )
    return folder / "vae"


def test_an_autoencoder_of_the_other_family(tmp_path: Path) -> None:
    """Equal in shape: the scale of their latents tells SD's, which its first configurations do not say, from
    SDXL's. That one's half-precision fix says force_upcast = false."""
    xl = {"scaling_factor": 0.13025, "force_upcast": True}
    for entries, wanted, seen in (({}, "kl_sdxl", "kl_sd"), (xl, "kl_sd", "kl_sdxl")):
        found, text = code(vae_config(tmp_path, **entries), "vae", wanted)
        assert found == "V2V-E6106"
        assert f"vae is {seen}\n" in text
    found, text = code(vae_config(tmp_path, scaling_factor=0.5), "vae", "kl_sdxl")
    assert (found, "scaling_factor = 0.5, not 0.13025" in text) == ("V2V-E6106", True)
    # Of the family that was asked for: what is missing next is tensors.
    for entries, wanted in (({}, "kl_sd"), (xl, "kl_sdxl"), ({**xl, "force_upcast": False}, "kl_sdxl")):
        assert code(vae_config(tmp_path, **entries), "vae", wanted)[0] == "V2V-E6101"


def test_random_weights_need_an_architecture_of_the_part() -> None:
    assert code("random:0")[0] == "V2V-E6100"
    assert code("random:0", name="sd16")[0] == "V2V-E6107"
    assert code("random:0", name="tiny_kl")[0] == "V2V-E6107"


def test_a_folder_without_the_module(pipeline: Path) -> None:
    for path in (pipeline / "vae").iterdir():
        path.unlink()
    assert code(pipeline, part="vae")[0] == "V2V-E6100"
    write_folder(pipeline / "empty", "tiny_taesd")
    (pipeline / "empty" / "diffusion_pytorch_model.safetensors").unlink()
    found, text = code(pipeline / "empty", part="vae")
    assert (found, "no safetensors" in text) == ("V2V-E6101", True)


def configured(folder: Path, text: str) -> Path:
    (folder / "config.json").write_text(text)
    return folder


@pytest.mark.parametrize(
    "text",
    ["[]", "null", '"x"', "5", '{"architectures": 5}', '{"architectures": {"a": 1}}', "{", "[" * 100000],
    ids=lambda text: text[:24],
)
def test_a_configuration_that_is_no_object(text: str, pipeline: Path) -> None:
    found, words = code(configured(pipeline / "unet", text))
    assert (found, "config.json" in words) == ("V2V-E6101", True)


def test_entries_that_are_missing_are_the_classes_defaults(pipeline: Path) -> None:
    """A network is built with them: 8 heads at every level, where SD2.1 has more in deeper ones."""
    write_folder(pipeline / "v2", "tiny_sd21")
    config = json.loads((pipeline / "v2" / "config.json").read_text())
    heads = config.pop("attention_head_dim")
    assert heads != 8
    found, text = code(configured(pipeline / "v2", json.dumps(config)), name="tiny_sd21")
    assert found == "V2V-E6106"
    assert f"attention_head_dim = 8, not {tuple(heads)}" in text
    # What a default leaves as it is may be missing.
    config = json.loads((pipeline / "unet" / "config.json").read_text())
    assert config.pop("layers_per_block") == 2
    assert config.pop("in_channels") == 4
    source = open_module(str(configured(pipeline / "unet", json.dumps(config))), "unet", "tiny_sd15")
    assert same(source.load(), "tiny_sd15")


def test_a_unet_that_streams_cannot_play_is_refused_as_it_is_opened(pipeline: Path) -> None:
    """As the full LCM of Dreamshaper is published: guidance is an input of its time embedding."""
    place = pipeline / "unet"
    config = json.loads((place / "config.json").read_text())
    configured(place, json.dumps({**config, "time_cond_proj_dim": 256}))
    path = place / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(path), "time_embedding.cond_proj.weight": torch.zeros(32, 256)}, path)
    for name in ("tiny_sd15", None):
        with pytest.raises(WeightsError) as caught:
            open_module(str(pipeline), "unet", name)
        assert caught.value.code == "V2V-E6107"
        assert "pipe/unet is a UNet with time_cond_proj_dim = 256" in caught.value.seen
        assert "LCM-LoRA" in caught.value.fix


@pytest.mark.parametrize("entry", [("norm_num_groups", 0), ("block_out_channels", 5), ("dropout", "x")])
def test_entries_that_build_nothing(entry: tuple[str, object], pipeline: Path) -> None:
    config = json.loads((pipeline / "unet" / "config.json").read_text())
    assert code(configured(pipeline / "unet", json.dumps({**config, entry[0]: entry[1]})))[0] == "V2V-E6107"


def damaged(pipeline: Path, change: str) -> Path:
    path = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    if change == "missing":
        del state["conv_in.weight"]
    elif change == "renamed":
        state["conv_inn.weight"] = state.pop("conv_in.weight")
    elif change == "unknown":
        state["conv_extra.weight"] = torch.zeros(1)
    elif change == "misshapen":
        state["conv_in.weight"] = state["conv_in.weight"][:, :3].contiguous()
    elif change == "whole numbers":
        state["conv_in.bias"] = state["conv_in.bias"].to(torch.int32)
    elif change == "nan":
        state["conv_in.bias"][3] = torch.nan
    elif change == "infinity":
        state["conv_in.bias"][3] = -torch.inf
    save_file(state, path)
    if change == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    return pipeline


@pytest.mark.parametrize(
    ("change", "wanted", "word"),
    [
        ("missing", "V2V-E6102", "conv_in.weight"),
        ("renamed", "V2V-E6102", "conv_in.weight (the file has conv_inn.weight?)"),
        ("unknown", "V2V-E6103", "conv_extra.weight"),
        ("misshapen", "V2V-E6104", "[32, 3, 3, 3], not [32, 4, 3, 3]"),
        ("whole numbers", "V2V-E6104", "int32"),
        ("nan", "V2V-E6105", "conv_in.bias"),
        ("infinity", "V2V-E6105", "conv_in.bias"),
        ("truncated", "V2V-E6101", "diffusion_pytorch_model.safetensors"),
    ],
)
def test_damage(change: str, wanted: str, word: str, pipeline: Path) -> None:
    found, text = code(damaged(pipeline, change))
    assert found == wanted
    assert word in text


def test_values_are_read_when_they_are_needed(pipeline: Path) -> None:
    source = open_module(str(damaged(pipeline, "nan")), "unet", "tiny_sd15")
    assert source.parameters == 5_492_900
    with pytest.raises(WeightsError, match="V2V-E6105"):
        source.load()

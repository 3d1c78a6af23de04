"""LoRAs of every spelling, judged by what diffusers and peft make of the same file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin, StableDiffusionXLLoraLoaderMixin
from diffusion.lora_files import MODULES, chosen, differing, kohya, layers, ours, pair, peft, saved, some
from diffusion.published import original_name
from safetensors.torch import save_file
from torch import Tensor
from v2v_export.diffusion.configs import ARCHITECTURES
from v2v_export.diffusion.errors import LoraError
from v2v_export.diffusion.lora import fuse, fuse_module, open_loras
from v2v_export.diffusion.lora_names import spellings
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.sources import open_module
from v2v_export.weights import Scaled

Literal = Callable[..., Any]
XL_MODULES = {
    "unet": "tiny_sdxl",
    "text_encoder": "tiny_clip",
    "text_encoder_2": "tiny_open_clip_projected",
}


def published_text(layer: str) -> str:
    return layer if layer.startswith("text_") else f"text_model.{layer}"


UNET = ("attn1.to_q", "attn2.to_k", "to_out.0", "proj_in", "ff.net", "conv1", "conv_shortcut", "samplers",
        "time_emb_proj", "conv_in", "time_embedding")  # fmt: skip


def theirs(path: Path, unet: Any, scale: float, xl: bool = False) -> dict[str, Tensor]:
    """The same by diffusers and peft."""
    mixin = StableDiffusionXLLoraLoaderMixin if xl else StableDiffusionLoraLoaderMixin
    state, alphas, metadata = mixin.lora_state_dict(
        str(path), unet_config=unet.config, return_lora_metadata=True
    )
    mixin.load_lora_into_unet(state, network_alphas=alphas, unet=unet, metadata=metadata)
    unet.fuse_lora(lora_scale=scale)
    unet.unload_lora()
    return dict(unet.state_dict())


def check_same(name: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], changed: int) -> None:
    assert found.keys() == wanted.keys()
    assert max(float((found[key] - wanted[key]).abs().max()) for key in wanted) < 1e-5
    assert len(differing(name, found)) == len(differing(name, wanted)) == changed


def test_kohyas_names_with_alpha(tmp_path: Path, literal: Literal) -> None:
    """As LCM-LoRA for SD1.5 is written: linear layers, 1x1 and 3x3 convolutions."""
    shapes = some("tiny_sd15", *UNET)
    assert {len(shape) for shape in shapes.values()} == {2, 4}
    path = saved(tmp_path / "lcm.safetensors", kohya("lora_unet_", {key: key for key in shapes}, shapes))
    found = ours(MODULES, "unet", [Scaled(str(path), 0.7)])
    check_same("tiny_sd15", found, theirs(path, literal("tiny_sd15"), 0.7), len(shapes))


def test_kohyas_names_of_the_original_blocks(tmp_path: Path, literal: Literal) -> None:
    """As kohya's trainer writes SDXL."""
    shapes = some("tiny_sdxl", *UNET)
    shapes |= chosen("tiny_sdxl", "add_embedding", "samplers")
    weights = [f"{key}.weight" for key in layers("tiny_sdxl")]
    names = {key: original_name(f"{key}.weight", weights).removesuffix(".weight") for key in shapes}
    file = kohya("lora_unet_", names, shapes)
    assert "lora_unet_input_blocks_5_1_transformer_blocks_0_attn1_to_q.alpha" in file
    assert "lora_unet_output_blocks_2_2_conv.lora_down.weight" in file
    path = saved(tmp_path / "style.safetensors", file)
    found = ours(XL_MODULES, "unet", [Scaled(str(path))])
    check_same("tiny_sdxl", found, theirs(path, literal("tiny_sdxl"), 1.0, xl=True), len(shapes))


@pytest.mark.parametrize("name", ["tiny_sd15", "tiny_sdxl"])
def test_every_layer_is_found_by_every_spelling(name: str) -> None:
    names = layers(name)
    known = spellings(names, "unet")
    weights = [f"{key}.weight" for key in names]
    for key in names:
        original = original_name(f"{key}.weight", weights).removesuffix(".weight")
        for form in (key, original, key.replace(".", "_"), original.replace(".", "_")):
            assert known[form] == key


@pytest.mark.parametrize("prefix", ["unet", "base_model.model.unet"])
def test_pefts_names(prefix: str, tmp_path: Path, literal: Literal) -> None:
    shapes = some("tiny_sdxl", *UNET)
    path = saved(tmp_path / "std.safetensors", peft(prefix, shapes))
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 4}')
    found = ours(XL_MODULES, "unet", [Scaled(str(path), -0.5)])
    plain = saved(tmp_path / "plain.safetensors", peft("unet", shapes))
    check_same("tiny_sdxl", found, theirs(plain, literal("tiny_sdxl"), -0.5, xl=True), len(shapes))


def test_alpha_in_the_files_notes(tmp_path: Path, literal: Literal) -> None:
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    unet = literal("tiny_sd15")
    config = LoraConfig(r=4, lora_alpha=12, target_modules=["attn1.to_q", "conv1"], init_lora_weights=False)
    unet.add_adapter(config)
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(unet),
        unet_lora_adapter_metadata=config.to_dict(),
    )
    path = tmp_path / "pytorch_lora_weights.safetensors"
    found = ours(MODULES, "unet", [Scaled(str(path))])
    wanted = theirs(path, literal("tiny_sd15"), 1.0)
    check_same("tiny_sd15", found, wanted, len(chosen("tiny_sd15", "attn1.to_q", "conv1")))
    unet.fuse_lora()
    unet.unload_lora()
    check_same("tiny_sd15", found, unet.state_dict(), len(chosen("tiny_sd15", "attn1.to_q", "conv1")))


def test_diffusers_older_names(tmp_path: Path, literal: Literal) -> None:
    file = {}
    shapes = chosen("tiny_sd15", "attn1.to_q", "attn2.to_v", "attn1.to_out.0")
    for layer, shape in shapes.items():
        attention, _, projection = layer.removesuffix(".0").rpartition(".")
        name = f"unet.{attention}.processor.{projection}_lora"
        file[f"{name}.down.weight"], file[f"{name}.up.weight"] = pair(layer, shape)
    path = saved(tmp_path / "old.safetensors", file)
    found = ours(MODULES, "unet", [Scaled(str(path), 0.3)])
    check_same("tiny_sd15", found, theirs(path, literal("tiny_sd15"), 0.3), len(shapes))


@pytest.mark.parametrize(
    ("part", "prefix"),
    [("text_encoder", "lora_te1_"), ("text_encoder", "lora_te_"), ("text_encoder_2", "lora_te2_")],
)
def test_text_encoders(part: str, prefix: str, tmp_path: Path, literal: Literal) -> None:
    name = XL_MODULES[part]
    shapes = chosen(name, "q_proj", "out_proj", "mlp.fc1")
    file = kohya(prefix, {key: published_text(key) for key in shapes}, shapes)
    path = saved(tmp_path / "te.safetensors", file)
    found = ours(XL_MODULES, part, [Scaled(str(path), 0.6)])
    encoder, plain = literal(name), random_state(ARCHITECTURES[name], 0)
    assert differing(name, found) == {f"{layer}.weight" for layer in shapes}
    for layer, shape in shapes.items():
        down, up = pair(layer, shape)
        wanted = plain[f"{layer}.weight"].float() + 0.6 * 2.0 / 4 * up @ down
        assert (found[f"{layer}.weight"] - wanted).abs().max() < 1e-6
    encoder.load_state_dict(found)


def test_a_text_encoder_as_diffusers_fuses_it(tmp_path: Path, literal: Literal) -> None:
    encoder = literal("tiny_open_clip_projected")
    shapes = chosen("tiny_open_clip_projected", "q_proj", "out_proj", "mlp.fc1")
    path = saved(tmp_path / "te.safetensors", peft("text_encoder_2", shapes))
    state = StableDiffusionXLLoraLoaderMixin.lora_state_dict(str(path))[0]
    StableDiffusionXLLoraLoaderMixin.load_lora_into_text_encoder(
        state, network_alphas=None, text_encoder=encoder, prefix="text_encoder_2"
    )
    for module in encoder.modules():
        if hasattr(module, "lora_A"):
            module.merge()
    wanted = {key.replace(".base_layer", ""): item for key, item in encoder.state_dict().items()}
    found = ours(XL_MODULES, "text_encoder_2", [Scaled(str(path))])
    for layer in shapes:
        assert (found[f"{layer}.weight"] - wanted[f"{layer}.weight"]).abs().max() < 1e-6


def test_several_one_twice_and_one_of_scale_zero(tmp_path: Path) -> None:
    a = chosen("tiny_sd15", "attn1.to_q", "conv1")
    b = chosen("tiny_sd15", "attn1.to_q", "to_k")
    first = saved(tmp_path / "a.safetensors", kohya("lora_unet_", {key: key for key in a}, a))
    second = saved(tmp_path / "b.safetensors", peft("unet", b))
    both = [Scaled(str(first), 0.5), Scaled(str(second), 0.25)]
    found = ours(MODULES, "unet", both)
    twice = ours(MODULES, "unet", [Scaled(str(first), 0.5)] * 2)
    once = ours(MODULES, "unet", [Scaled(str(first), 1.0)])
    assert max(float((twice[key] - once[key]).abs().max()) for key in once) < 1e-6
    assert differing("tiny_sd15", ours(MODULES, "unet", [Scaled(str(first), 0.0)])) == set()
    assert differing("tiny_sd15", found) == {f"{key}.weight" for key in {*a, *b}}


def test_weights_keep_their_type_and_others_are_shared(tmp_path: Path) -> None:
    shapes = chosen("tiny_sd15", "attn1.to_q")
    path = saved(tmp_path / "a.safetensors", peft("unet", shapes))
    source = open_module("random:0", "unet", "tiny_sd15")
    loras = open_loras([Scaled(str(path))], {"unet": source.architecture})
    fused, plain = source.with_loras("unet", loras).load(), source.load()
    for name, item in fused.state_dict().items():
        assert item.dtype == torch.float16
        assert torch.equal(item, plain.state_dict()[name]) == ("attn1.to_q.weight" not in name)
    part = source.with_loras("unet", loras).load(lambda name: "to_k" in name)
    assert part.get_submodule("conv_in").weight.is_meta
    assert source.with_loras("unet", ()) is source
    own = fuse_module(source.load(lambda name: True), "unet", loras)
    for name, item in own.state_dict().items():
        assert torch.equal(item, fused.state_dict()[name])


def test_random_loras_change_what_students_change() -> None:
    found = ours(XL_MODULES, "unet", [Scaled("random:3")])
    plain = random_state(ARCHITECTURES["tiny_sdxl"], 0)
    changed = differing("tiny_sdxl", found)
    assert {f"{key}.weight" for key in chosen("tiny_sdxl", "to_q", "conv1", "samplers", "ff.net")} <= changed
    assert "conv_in.weight" not in changed
    shares = [float((found[key] - plain[key]).std() / plain[key].float().std()) for key in changed]
    assert 0.02 < min(shares) < max(shares) < 0.4


def mistake(modules: Mapping[str, str], path: Path) -> tuple[str, str]:
    known: Any = {key: ARCHITECTURES[name] for key, name in modules.items()}
    with pytest.raises(LoraError) as caught:
        open_loras([Scaled(str(path))], known)
    return caught.value.code, str(caught.value)


def test_one_that_fits_nothing(tmp_path: Path) -> None:
    path = saved(tmp_path / "flux.safetensors", peft("unet.transformer", {"single_blocks.0.q": (8, 8)}))
    code, text = mistake(MODULES, path)
    assert code == "V2V-E6110"
    assert "single_blocks.0.q" in text


def test_one_for_another_architecture(tmp_path: Path) -> None:
    """Half of SDXL's layers have names that SD1.5 has too."""
    shapes = chosen("tiny_sdxl", "attn1.to_q")
    code, text = mistake(MODULES, saved(tmp_path / "xl.safetensors", peft("unet", shapes)))
    assert code == "V2V-E6111"
    assert "transformer_blocks.1.attn1.to_q" in text


def test_one_with_a_text_encoder_that_is_not_there(tmp_path: Path) -> None:
    shapes, text_shapes = chosen("tiny_sd15", "attn1.to_q"), chosen("tiny_clip", "q_proj")
    file = kohya("lora_unet_", {key: key for key in shapes}, shapes)
    file |= kohya("lora_te_", {key: published_text(key) for key in text_shapes}, text_shapes)
    path = saved(tmp_path / "style.safetensors", file)
    code, text = mistake({"unet": "tiny_sd15"}, path)
    assert code == "V2V-E6111"
    assert f"fits {len(shapes)} layers, but not {len(text_shapes)} others" in text
    assert "of text_encoder" in text


def test_one_without_tensors(tmp_path: Path) -> None:
    code, text = mistake(MODULES, saved(tmp_path / "empty.safetensors", {}))
    assert code == "V2V-E6110"
    assert "no tensors" in text


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("dora", "dora_scale"),
        ("tucker", "lora_mid"),
        ("half", "no up tensor"),
        ("shape", "[out, rank] x [rank, in]"),
        ("rank", "[out, rank] x [rank, in]"),
        ("no rank", "of rank 1 at least"),
        ("flat down", "[out, rank] x [rank, in]"),
        ("flat up", "[out, rank] x [rank, in]"),
        ("number", "[out, rank] x [rank, in]"),
        ("alphas", "one number"),
        ("spellings", "both the down tensor"),
    ],
)
def test_tensors_that_do_not_belong_together(change: str, word: str, tmp_path: Path) -> None:
    shapes = chosen("tiny_sd15", "attn1.to_q")
    file = kohya("lora_unet_", {key: key for key in shapes}, shapes)
    flat = next(iter(file)).removesuffix(".lora_down.weight")
    if change == "dora":
        file[f"{flat}.dora_scale"] = torch.ones(1, 32)
    elif change == "tucker":
        file[f"{flat}.lora_mid.weight"] = torch.ones(4, 4, 3, 3)
    elif change == "half":
        del file[f"{flat}.lora_up.weight"]
    elif change == "shape":
        file[f"{flat}.lora_down.weight"] = torch.ones(4, 7)
    elif change == "rank":
        file[f"{flat}.lora_down.weight"] = torch.ones(5, 32)
    elif change == "no rank":
        file[f"{flat}.lora_down.weight"], file[f"{flat}.lora_up.weight"] = (
            torch.ones(0, 32),
            torch.ones(32, 0),
        )
    elif change == "flat down":
        file[f"{flat}.lora_down.weight"] = torch.ones(4)
    elif change == "flat up":
        file[f"{flat}.lora_up.weight"] = torch.ones(32)
    elif change == "number":
        file |= {f"{flat}.lora_{half}.weight": torch.tensor(1.0) for half in ("down", "up")}
    elif change == "alphas":
        file[f"{flat}.alpha"] = torch.ones(4)
    elif change == "spellings":
        file |= peft("unet", {next(iter(shapes)): (32, 32)})
    code, text = mistake(MODULES, saved(tmp_path / "bad.safetensors", file))
    assert code == "V2V-E6112"
    assert word in text


def test_notes_may_leave_everything_open(tmp_path: Path) -> None:
    file, path = peft("unet", chosen("tiny_sd15", "attn1.to_q")), tmp_path / "noted.safetensors"
    notes = '{"unet.lora_alpha": null, "unet.alpha_pattern": null, "unet.use_rslora": null, "unet.r": "4"}'
    save_file(file, path, {"lora_adapter_metadata": notes})
    plain = saved(tmp_path / "plain.safetensors", file)
    found, wanted = (ours(MODULES, "unet", [Scaled(str(item))]) for item in (path, plain))
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_an_update_that_is_not_finite(tmp_path: Path) -> None:
    shapes = chosen("tiny_sd15", "attn1.to_q")
    file = peft("unet", shapes)
    file[next(iter(file))][0, 0] = torch.nan
    path = saved(tmp_path / "nan.safetensors", file)
    with pytest.raises(LoraError) as caught:
        ours(MODULES, "unet", [Scaled(str(path))])
    assert caught.value.code == "V2V-E6112"
    # Finite numbers that leave half precision's range once they are fused.
    of = ARCHITECTURES["tiny_sd15"]
    fine = saved(tmp_path / "fine.safetensors", peft("unet", shapes))
    loras = open_loras([Scaled(str(fine), 1e9)], {"unet": of})
    with pytest.raises(LoraError):
        fuse(random_state(of, 0), "unet", loras)

"""Published files by their key names, made here from random tensors: what loads, in which order, what not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from golden_data import golden_config
from safetensors.torch import save_file
from support.small_networks import SMALL_SD
from systems.live2diff.published_live2diff import published_names
from systems.live2diff.temporal_golden import golden_unet_config
from torch import Tensor
from v2v_export.diffusion.configs import architecture, build
from v2v_export.diffusion.prompt_errors import PromptError
from v2v_export.diffusion.prompting import Form
from v2v_export.diffusion.random_weights import random_state, random_tensors
from v2v_export.errors import ModelError
from v2v_export.systems.live2diff.depth_configs import TINY
from v2v_export.systems.live2diff.depth_weights import DepthSource
from v2v_export.systems.live2diff.options import Live2DiffOptions
from v2v_export.systems.live2diff.sources import open_sources
from v2v_export.systems.live2diff.temporal import TemporalParts, sinusoid
from v2v_export.systems.live2diff.weights import TemporalSource
from v2v_export.weights import Scaled, Weights

OPTIONS = Live2DiffOptions(architecture="tiny_sd15", vae="tiny_taesd")
SPATIAL = "down_blocks.0.resnets.0.conv1.weight"
TO_Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


def temporal(of: Any = SMALL_SD, seed: int = 5) -> dict[str, Tensor]:
    """The tensors of ``live2diff.ckpt`` under their names, tables of positions among them."""
    with torch.device("meta"):
        parts = TemporalParts(of.config)
    state = random_tensors(dict(parts.named_parameters()), seed)
    for name in [name for name in state if name.endswith("to_q.weight")]:
        table = name.replace("to_q.weight", "pos_encoder.pe")
        state[table] = sinusoid(state[name].shape[0])[None]
    return state


def weights(**more: Any) -> Weights:
    return {"base": "random:0", "live2diff": "random:1", "depth": "random:2", **more}


def loaded_unet(given: Weights) -> Mapping[str, Tensor]:
    return open_sources(given, OPTIONS).unet.load().state_dict()


def test_names_are_the_published_ones() -> None:
    """Every cache's module of the published network is one of ours, at the same place."""
    paths = {cache["module"] for cache in golden_config("live2diff")["kv_caches"]}
    with torch.device("meta"):
        parts = TemporalParts(UNet2DConditionModel(**golden_unet_config()).config)
    ours = {name.removesuffix(".to_q.weight") for name, _ in parts.named_parameters() if "to_q" in name}
    assert paths == ours


def test_every_name_is_a_published_one() -> None:
    """20 modules of 26 tensors: 6 around the block, 6 of its feed-forward with its norm, 7 of each attention
    with its norm; and the depth encoder's 16."""
    with torch.device("meta"):
        parts = TemporalParts(architecture("sd15").config)
    names = published_names()
    assert len(names) == 20 * 26 + 16
    assert {name for name, _ in parts.named_parameters()} == names


def test_legacy_file_with_prefix_and_grids(tmp_path: Path) -> None:
    state = temporal()
    file = {f"module.{name}": item for name, item in state.items()}
    file["module.some_grid.index"] = torch.zeros(3)
    torch.save({"state_dict": file}, tmp_path / "live2diff.ckpt")
    source = TemporalSource(str(tmp_path / "live2diff.ckpt"), SMALL_SD)
    assert not source.holds_spatial
    seen = source.load().state_dict()
    assert all(torch.equal(seen[name], state[name]) for name in seen)
    assert torch.equal(source.load_condition().conv_in.weight, state["flow_conv_in.conv_in.weight"])


def test_spatial_weights_of_the_file_come_before_loras_and_after_the_base(tmp_path: Path) -> None:
    of = architecture("tiny_sd15")
    overwritten = torch.full(build(of).state_dict()[SPATIAL].shape, 0.25).half()
    weight = torch.full((32, 32), 0.5).half()
    state = {**temporal(of), SPATIAL: overwritten, f"{TO_Q}.weight": weight}
    save_file(state, tmp_path / "live2diff.safetensors")
    down, up = torch.ones(2, 32), torch.ones(32, 2)
    lora = {f"unet.{TO_Q}.lora_A.weight": down, f"unet.{TO_Q}.lora_B.weight": up}
    save_file(lora, tmp_path / "style.safetensors")
    given = weights(
        live2diff=str(tmp_path / "live2diff.safetensors"),
        lora=(Scaled(str(tmp_path / "style.safetensors"), 0.125),),
    )
    seen = loaded_unet(given)
    assert torch.equal(seen[SPATIAL], overwritten)
    # Rank 2 of ones adds 0.125 * 2 to each weight of the file's.
    assert torch.equal(seen[f"{TO_Q}.weight"], torch.full((32, 32), 0.75).half())
    base = loaded_unet(weights())
    other = "up_blocks.1.resnets.0.conv1.weight"
    assert torch.equal(seen[other], base[other])
    assert not torch.equal(seen[SPATIAL], base[SPATIAL])


def written(pipeline: Path) -> Path:
    """A pipeline's folder with UNet and text encoder alone, of seed 9."""
    for part, name, kind in (
        ("unet", "tiny_sd15", {"_class_name": "UNet2DConditionModel"}),
        ("text_encoder", "tiny_clip", {"architectures": ["CLIPTextModel"]}),
    ):
        (pipeline / part).mkdir(parents=True)
        config = {**architecture(name).config, **kind}
        (pipeline / part / "config.json").write_text(json.dumps(config))
        save_file(random_state(architecture(name), 9), pipeline / part / "model.safetensors")
    return pipeline


@pytest.mark.filterwarnings("ignore:no lcm_lora")
def test_a_base_without_a_tokenizer_is_told_what_this_system_takes(tmp_path: Path) -> None:
    given = weights(base=str(written(tmp_path / "base")), vae="random:3")
    with pytest.raises(PromptError, match="V2V-E6164") as caught:
        loaded_unet(given)
    assert "as base" in caught.value.fix
    assert "tokenizer" not in caught.value.fix


def test_dreambooth_overwrites_what_the_file_had(tmp_path: Path) -> None:
    of = architecture("tiny_sd15")
    save_file(
        {**temporal(of), SPATIAL: torch.full(build(of).state_dict()[SPATIAL].shape, 0.25).half()},
        tmp_path / "live2diff.safetensors",
    )
    pipeline = written(tmp_path / "style")
    given = weights(
        live2diff=str(tmp_path / "live2diff.safetensors"), dreambooth=str(pipeline), vae="random:3"
    )
    expected = random_state(of, 9)
    assert torch.equal(loaded_unet(given)[SPATIAL], expected[SPATIAL])


def test_lcm_lora_counts_once_at_scale_one(tmp_path: Path) -> None:
    down, up = torch.full((2, 32), 0.25), torch.full((32, 2), 0.25)
    key = "lora_unet_" + TO_Q.replace(".", "_")
    lora = {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(2.0)}
    save_file(lora, tmp_path / "lcm.safetensors")
    seen = loaded_unet(weights(lcm_lora=str(tmp_path / "lcm.safetensors")))[f"{TO_Q}.weight"]
    base = loaded_unet(weights())[f"{TO_Q}.weight"]
    # Rank 2: 2 * 0.25 * 0.25 = 0.125, times alpha / rank = 1.
    torch.testing.assert_close(seen.float(), base.float() + 0.125, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("prompt", ["tokens", "embeddings"])
@pytest.mark.parametrize("key", ["lora_te2_text_model_encoder_layers_0_mlp_fc1", "lora_te_nonsense"])
def test_a_lora_for_a_text_encoder_that_sd15_has_not(prompt: Form, key: str, tmp_path: Path) -> None:
    file = {f"{key}.lora_down.weight": torch.ones(2, 32), f"{key}.lora_up.weight": torch.ones(32, 2)}
    save_file(file, tmp_path / "a.safetensors")
    given = weights(lora=(Scaled(str(tmp_path / "a.safetensors")),))
    if prompt == "embeddings":
        given = {**given, "prompt": "embeddings.safetensors"}
    with pytest.raises(ModelError, match="V2V-E6110"):
        open_sources(given, dataclasses.replace(OPTIONS, prompt=prompt))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"down_blocks.0.motion_modules.0.nothing.weight": torch.zeros(1)}, "unknown"),
        ({"flow_conv_in.conv_in.bias": None}, "missing"),
        ({"flow_conv_in.conv_in.bias": torch.zeros(3)}, "misshapen"),
    ],
)
def test_keys_that_do_not_fit_are_told(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    state = {name: item for name, item in {**temporal(), **change}.items() if item is not None}
    save_file(state, tmp_path / "wrong.safetensors")
    with pytest.raises(ModelError, match="V2V-E6273") as refused:
        TemporalSource(str(tmp_path / "wrong.safetensors"), SMALL_SD)
    assert f"1 {word}" in str(refused.value)


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.bool])
@pytest.mark.parametrize("name", ["flow_conv_in.conv_in.bias", SPATIAL])
def test_whole_numbers_are_told(name: str, kind: torch.dtype, tmp_path: Path) -> None:
    """Of the temporal modules and of the spatial UNet, which the file may hold as well."""
    of = architecture("tiny_sd15")
    state = {**temporal(of), SPATIAL: torch.zeros(build(of).state_dict()[SPATIAL].shape)}
    save_file(state, tmp_path / "right.safetensors")
    assert TemporalSource(str(tmp_path / "right.safetensors"), of).holds_spatial
    state[name] = state[name].to(kind)
    save_file(state, tmp_path / "wrong.safetensors")
    with pytest.raises(ModelError, match="V2V-E6273") as refused:
        TemporalSource(str(tmp_path / "wrong.safetensors"), of)
    assert f"1 not float: {name} is {str(kind).removeprefix('torch.')}" in str(refused.value)


def test_nan_is_told(tmp_path: Path) -> None:
    state = temporal()
    state["flow_conv_in.conv_in.bias"][0] = torch.nan
    save_file(state, tmp_path / "wrong.safetensors")
    with pytest.raises(ModelError, match=r"V2V-E6273.*flow_conv_in.conv_in.bias"):
        TemporalSource(str(tmp_path / "wrong.safetensors"), SMALL_SD).load()


def test_other_network_is_told(tmp_path: Path) -> None:
    save_file(temporal(), tmp_path / "live2diff.safetensors")
    with pytest.raises(ModelError, match="V2V-E6273"):
        TemporalSource(str(tmp_path / "live2diff.safetensors"), architecture("tiny_sd15"))


def test_depth_detector_from_its_folder(tmp_path: Path) -> None:
    from transformers import DPTConfig, DPTForDepthEstimation

    model = DPTForDepthEstimation(DPTConfig(**TINY))
    model.save_pretrained(tmp_path / "dpt")
    seen = DepthSource(str(tmp_path / "dpt"), "dpt_hybrid").load().state_dict()
    assert all(torch.equal(seen[name], item) for name, item in model.state_dict().items())


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.bool])
def test_depth_detector_of_whole_numbers_is_told(kind: torch.dtype, tmp_path: Path) -> None:
    from transformers import DPTConfig, DPTForDepthEstimation

    model = DPTForDepthEstimation(DPTConfig(**TINY))
    model.config.save_pretrained(tmp_path)
    name = "head.head.4.bias"
    state = {**model.state_dict(), name: model.state_dict()[name].to(kind)}
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=rf"V2V-E6272(?s:.)*not float \['{name}'\]"):
        DepthSource(str(tmp_path), "dpt_hybrid")


def test_depth_detector_of_a_configuration_alone_is_told(tmp_path: Path) -> None:
    from transformers import DPTConfig

    DPTConfig(**TINY).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="V2V-E6101"):
        DepthSource(str(tmp_path), "dpt_hybrid")


def test_depth_detector_without_the_hybrid_stem_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "dpt", "is_hybrid": false}')
    with pytest.raises(ModelError, match="V2V-E6272"):
        DepthSource(str(tmp_path), "dpt_hybrid")

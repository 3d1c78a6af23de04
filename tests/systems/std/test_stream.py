"""What a recipe can ask for, and what it is refused: programs, sizes and weights, without an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from systems.std.bundles import OPTIONS, SIZE, WEIGHTS
from v2v_export.diffusion.configs import ARCHITECTURES, build
from v2v_export.diffusion.errors import GeometryError, LoraError, WeightsError
from v2v_export.diffusion.random_weights import random_state
from v2v_export.system import FrameSize, GraphOptions
from v2v_export.systems.std import SYSTEM
from v2v_export.systems.std.errors import StudentOptionError, StudentWeightsError
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.stream import StdModel
from v2v_export.weights import Scaled
from v2v_runtime.manifest.model import View


def model(
    options: StdOptions = OPTIONS, size: FrameSize = SIZE, weights: Mapping[str, Any] = WEIGHTS
) -> StdModel:
    made = SYSTEM.load(weights, options, size)
    assert isinstance(made, StdModel)
    return made


def test_a_loop_has_one_call_per_step_and_no_state_of_its_own() -> None:
    made = model(replace(OPTIONS, steps=8))
    program = made.program()
    (phase,) = program.phases
    steps = [call for call in phase.calls if call.graph == "denoise"]
    assert [call.inputs["timesteps"] for call in steps] == [View("timesteps", k, 1) for k in range(8)]
    assert [call.inputs["x"] for call in steps] == [f"x_{k}" for k in range(8)]
    assert [call.outputs["x_next"] for call in steps] == [f"x_{k + 1}" for k in range(8)]
    assert phase.emit is not None
    assert phase.emit.drop_first == 0
    derived = {name for call in phase.calls if call.when for name in call.outputs.values()}
    assert set(program.slots) <= derived


def test_a_batch_has_one_call_and_n_minus_1_latents_in_flight() -> None:
    program = model(replace(OPTIONS, mode="batched", steps=8)).program()
    (phase,) = program.phases
    (step,) = [call for call in phase.calls if call.graph == "denoise"]
    assert step.outputs["new_waiting"] == "waiting"
    assert program.slots["waiting"].shape == (7, 4, 8, 8)
    assert phase.emit is not None
    assert phase.emit.drop_first == 7


def test_a_batch_of_one_step_is_a_loop_of_one() -> None:
    batched, loop = (model(replace(OPTIONS, mode=mode, steps=1)) for mode in ("batched", "loop"))  # type: ignore[arg-type]  # mypy widens the literals
    assert batched.program() == loop.program()
    assert "waiting" not in batched.program().slots


def test_bound_constants_are_the_tables(unet: torch.nn.Module) -> None:
    made = model(replace(OPTIONS, strength=None, steps=None, timesteps=(779, 499, 199)))
    tables = made.blobs()["blobs/tables.safetensors"]
    assert tables["timesteps"].tolist() == [779, 499, 199]
    assert tables["noise"].shape == (1, 4, 8, 8)
    for name, const in made.program().consts.items():
        stored = made.blobs()[const.blob.file][const.blob.tensor]
        assert stored.shape == const.shape, name
    ids = made.blobs()["blobs/prompt.safetensors"]["time_ids"]
    assert ids.tolist() == [[64, 64, 0, 0, 64, 64]] * 2
    other = model(replace(OPTIONS, seed=1)).noise()
    assert np.abs(other - made.noise()).max() > 1


def test_sdxl_is_told_a_frame_height_first() -> None:
    """Original height and width, top and left of the crop, height and width shown (SDXL's paper,
    section 2.2); the literal stream reads the same numbers, so it cannot tell."""
    ids = model(size=FrameSize(64, 128)).blobs()["blobs/prompt.safetensors"]["time_ids"]
    assert ids.tolist() == [[64, 128, 0, 0, 64, 128]] * 2


@pytest.mark.parametrize("vae", ["tiny_taesd", "tiny_kl"])
def test_weight_counts_are_those_of_the_modules(vae: Any) -> None:
    made = model(replace(OPTIONS, vae=vae))
    counts = made.weight_counts()
    for spec in made.graphs(GraphOptions("float32")):
        held = sum(item.numel() for item in spec.make().parameters())
        if spec.name == "text":
            # The first encoder's last layer is not run, nor its last norm.
            assert 0.8 * counts["text"] < held <= counts["text"]
        elif spec.name == "denoise":
            # The walk holds the whole UNet; what makes keys and values is not traced.
            assert counts["denoise"] == held - counts["cross_kv"]
        else:
            assert counts[spec.name] == held, spec.name


@pytest.mark.parametrize("size", [(64, 65), (63, 64), (32, 64), (512, 544), (0, 64)])
def test_frame_sizes_that_students_were_not_trained_at(size: tuple[int, int]) -> None:
    with pytest.raises(GeometryError, match=r"(?s)V2V-E6121.*multiples of 64.*960 x 1280"):
        model(size=FrameSize(*size))


def test_options_are_refused_before_weights_are_looked_for() -> None:
    with pytest.raises(StudentOptionError, match="V2V-E6230"):
        model(replace(OPTIONS, strength=0.01), weights={"base": "/nowhere"})


def test_weights_of_another_architecture(tmp_path: Path) -> None:
    file = tmp_path / "sd15.safetensors"
    state = random_state(ARCHITECTURES["tiny_sd15"], 0)
    save_file(state, file)
    with pytest.raises(WeightsError, match="V2V-E6106"):
        model(weights={"base": "random:0", "unet": str(file)})


def test_a_taesd_is_in_no_base(tmp_path: Path) -> None:
    file = tmp_path / "unet.safetensors"
    save_file(random_state(ARCHITECTURES["tiny_sdxl"], 0), file)
    with pytest.raises(WeightsError, match="V2V-E6100"):
        model(weights={"base": str(file), "text": "random:0"})
    model(weights={"base": str(file), "text": "random:0", "vae": "random:0"})


def test_embeddings_beside_tokens(tmp_path: Path) -> None:
    with pytest.raises(StudentWeightsError, match="V2V-E6233"):
        model(weights={**WEIGHTS, "prompt": str(tmp_path / "prompt.safetensors")})


def test_embeddings_in_place_of_text_encoders() -> None:
    made = model(replace(OPTIONS, prompt="embeddings"))
    assert [spec.name for spec in made.graphs(GraphOptions())] == ["cross_kv", "encode", "denoise", "decode"]
    assert set(made.program().params) == {"guidance", "prompt_embeds", "pooled_embeds"}
    tokens = model().conditioning.literal()
    blobs = made.blobs()["blobs/prompt.safetensors"]
    np.testing.assert_allclose(blobs["prompt_embeds"], tokens.embeds, atol=1e-6)


def lora_file(path: Path, layers: Mapping[str, tuple[int, ...]]) -> str:
    """A kohya file of rank 2 for these layers."""
    tensors = {}
    for name, shape in layers.items():
        key = "lora_unet_" + name.replace(".", "_")
        tensors[f"{key}.lora_down.weight"] = torch.full((2, *shape[1:]), 0.02)
        tensors[f"{key}.lora_up.weight"] = torch.full((shape[0], 2, *(1,) * (len(shape) - 2)), 0.02)
        tensors[f"{key}.alpha"] = torch.tensor(2.0)
    save_file(tensors, path)
    return str(path)


def layers_of(name: str) -> dict[str, tuple[int, ...]]:
    """The layers that a student's LoRA changes."""
    kinds = ("attn1.to_q", "ff.net.2", "conv1", "conv2", "conv_shortcut", "time_emb_proj", "proj_in")
    kinds = (*kinds, "samplers.0.conv")
    network = build(ARCHITECTURES[name])
    return {
        layer: tuple(module.weight.shape)
        for layer, module in network.named_modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and layer.endswith(kinds)
    }


def test_a_students_lora_changes_linear_and_convolution_layers(tmp_path: Path) -> None:
    layers = layers_of("tiny_sdxl")
    file = lora_file(tmp_path / "std.safetensors", layers)
    plain, fused = model(), model(weights={**WEIGHTS, "lora": (Scaled(file, 0.5),)})
    before, after = (item.reference().stream.unet.state_dict() for item in (plain, fused))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{layer}.weight" for layer in layers}
    step = after["mid_block.resnets.0.conv1.weight"] - before["mid_block.resnets.0.conv1.weight"]
    # 0.5 * alpha / rank * sum over the rank of 0.02 * 0.02; the weights are held in half precision.
    torch.testing.assert_close(step, torch.full_like(step, 0.5 * 2 * 0.02**2), rtol=0, atol=2e-4)


@pytest.mark.parametrize(("half", "code"), [(False, "V2V-E6110"), (True, "V2V-E6111")])
def test_loras_that_do_not_fit(half: bool, code: str, tmp_path: Path) -> None:
    layers = {f"foreign.{name}": shape for name, shape in layers_of("tiny_sdxl").items()}
    if half:
        layers |= dict(list(layers_of("tiny_sdxl").items())[::2])
    with pytest.raises(LoraError, match=code):
        model(weights={**WEIGHTS, "lora": (Scaled(lora_file(tmp_path / "std.safetensors", layers)),)})


def test_a_lora_of_another_architecture(tmp_path: Path) -> None:
    """Stable Diffusion 1.5 has the same names for most layers, and attentions where SDXL has none."""
    file = lora_file(tmp_path / "sd15.safetensors", layers_of("tiny_sd15"))
    with pytest.raises(LoraError, match="V2V-E6111"):
        model(weights={**WEIGHTS, "lora": (Scaled(file),)})


def test_a_lora_of_another_width(tmp_path: Path) -> None:
    """Every name is right, no shape is."""
    wide = {name: (2 * out, 2 * into, *side) for name, (out, into, *side) in layers_of("tiny_sdxl").items()}
    with pytest.raises(LoraError, match="V2V-E6112"):
        model(weights={**WEIGHTS, "lora": (Scaled(lora_file(tmp_path / "wide.safetensors", wide)),)})

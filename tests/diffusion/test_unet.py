"""The walk against diffusers' own forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from golden_data import golden_folder
from safetensors.torch import load_file
from support.stream_golden import text_cases
from torch import Tensor
from v2v_export.diffusion.configs import ARCHITECTURES, Architecture, build
from v2v_export.diffusion.cross_kv import CrossKV
from v2v_export.diffusion.errors import GeometryError, WeightsError
from v2v_export.diffusion.random_weights import random_state
from v2v_export.diffusion.sources import open_module
from v2v_export.diffusion.unet import Place, StreamUNet, cross_ports, cross_specs

NAMES = ("tiny_sd15", "tiny_sd21", "tiny_sdxl")
Literal = Callable[..., Any]


def inputs(name: str, batch: int, rows: int, height: int = 16, width: int = 16) -> dict[str, Any]:
    """Random inputs: the stream's, with ``rows`` prompts, and diffusers', with one per batch row."""
    generator = torch.Generator().manual_seed(batch * 100 + rows)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    config = ARCHITECTURES[name].config
    embeds = draw(rows, 77, config["cross_attention_dim"])
    given: dict[str, Any] = {
        "sample": draw(batch, 4, height, width),
        "timestep": torch.tensor([999, 3, 512, 250, 700, 40])[:batch],
        "prompt": (embeds,),
        "literal": {"encoder_hidden_states": embeds.repeat_interleave(batch // rows, 0)},
    }
    if "addition_embed_type" in config:
        pooled, ids = draw(rows, 32), torch.tensor([[960.0, 1280, 0, 8, 512, 768]] * rows)
        given["prompt"] = (embeds, pooled, ids)
        every = {"text_embeds": pooled, "time_ids": ids}
        repeated = {key: item.repeat_interleave(batch // rows, 0) for key, item in every.items()}
        given["literal"]["added_cond_kwargs"] = repeated
    return given


def run(unet: Any, given: dict[str, Any], pick: Sequence[int] | None = None, **extra: Any) -> Tensor:
    stream, cross_kv = StreamUNet(unet), CrossKV(unet, pick=pick)
    made = cross_kv(*given["prompt"])
    count = 2 * len(stream.cross_layers)
    out: Tensor = stream(given["sample"], given["timestep"], made[:count], *made[count:], **extra)
    return out


def judge(unet: Any, given: dict[str, Any]) -> Tensor:
    out: Tensor = unet(given["sample"], given["timestep"], **given["literal"]).sample
    return out


@pytest.mark.parametrize(("batch", "rows"), [(1, 1), (4, 1), (4, 2), (3, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_it_computes_what_diffusers_computes(name: str, batch: int, rows: int, literal: Literal) -> None:
    unet, given = literal(name), inputs(name, batch, rows)
    wanted = judge(unet, given)
    assert wanted.std() > 0.3
    assert (run(unet, given) - wanted).abs().max() < 1e-5


def test_a_latent_that_is_not_square(literal: Literal) -> None:
    unet, given = literal("tiny_sd15"), inputs("tiny_sd15", 2, 1, 8, 24)
    assert (run(unet, given) - judge(unet, given)).abs().max() < 1e-5


def test_every_prompt_row_matters_and_is_its_own(literal: Literal) -> None:
    unet, given = literal("tiny_sdxl"), inputs("tiny_sdxl", 4, 2)
    first = run(unet, given)
    embeds, pooled, ids = given["prompt"]
    for changed in (
        (torch.cat((embeds[:1], embeds[1:] + 1)), pooled, ids),
        (embeds, torch.cat((pooled[:1], pooled[1:] + 1)), ids),
        (embeds, pooled, torch.cat((ids[:1], ids[1:] + 64))),
    ):
        second = run(unet, {**given, "prompt": changed})
        assert torch.equal(second[:2], first[:2])
        assert (second[2:] - first[2:]).abs().max() > 1e-3


def test_picked_rows_serve_uneven_groups(literal: Literal) -> None:
    """One unconditional row before three with the prompt: four rows made of two."""
    for name in NAMES:
        unet, given = literal(name), inputs(name, 4, 2)
        pick = [0, 1, 1, 1]
        embeds = given["prompt"][0][pick]
        kwargs = {"encoder_hidden_states": embeds}
        if "xl" in name:
            pooled, ids = (item[pick] for item in given["prompt"][1:])
            kwargs["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": ids}
        wanted = unet(given["sample"], given["timestep"], **kwargs).sample
        assert (run(unet, given, pick) - wanted).abs().max() < 1e-5


def test_a_residual_is_added_after_the_first_convolution(literal: Literal) -> None:
    unet, given = literal("tiny_sd15"), inputs("tiny_sd15", 2, 1)
    residual = torch.randn(1, 32, 16, 16, generator=torch.Generator().manual_seed(1))
    found = run(unet, given, residual=residual)
    handle = unet.conv_in.register_forward_hook(lambda module, args, out: out + residual)
    wanted = judge(unet, given)
    handle.remove()
    assert (found - wanted).abs().max() < 1e-5
    assert (found - judge(unet, given)).abs().max() > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_modules_of_the_callers_own_run_after_every_layer(name: str, literal: Literal) -> None:
    unet, given = literal(name), inputs(name, 2, 1)

    def shift(place: Place, x: Tensor) -> Tensor:
        amount = 0.1 * (1 + place.block) + 0.03 * place.layer + (0.5 if place.half == "up" else 0.0)
        return x * (1 - amount / 10) + amount

    places: list[Place] = []

    def after(place: Place, x: Tensor) -> Tensor:
        places.append(place)
        return shift(place, x)

    found = run(unet, given, after_layer=after)
    for half, blocks in (("down", unet.down_blocks), ("up", unet.up_blocks)):
        for block, module in enumerate(blocks):
            last = getattr(module, "attentions", None) or module.resnets
            for layer, item in enumerate(last):
                place = Place(half, block, layer)  # type: ignore[arg-type]  # one of the two literals

                def hook(module: Any, args: Any, out: Any, place: Place = place) -> Any:
                    return (shift(place, out[0]),) if isinstance(out, tuple) else shift(place, out)

                item.register_forward_hook(hook)
    assert (found - judge(unet, given)).abs().max() < 2e-5
    layers = {half: [p for p in places if p.half == half] for half in ("down", "up")}
    assert len(layers["down"]) == 2 * len(unet.down_blocks)
    assert len(layers["up"]) == 3 * len(unet.up_blocks)
    assert places == sorted(places)


def test_the_layers_and_ports_of_the_real_networks() -> None:
    for name, count, head_dims in (
        ("sd15", 16, {40, 80, 160}),
        ("sd21", 16, {64}),
        ("sdxl", 70, {64}),
    ):
        layers = StreamUNet(build(ARCHITECTURES[name]), torch.float16).cross_layers
        assert len(layers) == count
        assert {item.head_dim for item in layers} == head_dims
        specs = cross_specs(layers, 2)
        assert list(specs) == list(cross_ports(layers))
        assert list(specs)[:3] == ["cross_k_00", "cross_v_00", "cross_k_01"]
        first = layers[0]
        assert specs["cross_k_00"].shape == (2, first.heads, 77, first.head_dim)
    assert layers[0].name == "down_blocks.1.attentions.0.transformer_blocks.0.attn2"


def test_tensors_of_the_same_type_are_shared_not_copied() -> None:
    unet: Any = open_module("random:0", "unet", "tiny_sd15").load()
    stream, cross = StreamUNet(unet, torch.float16), CrossKV(unet, torch.float16)
    attention = unet.mid_block.attentions[0].transformer_blocks[0].attn2
    shared = stream.unet.mid_block.attentions[0].transformer_blocks[0].attn2
    assert shared.to_q.weight.data_ptr() == attention.to_q.weight.data_ptr()
    assert attention.to_k.weight.data_ptr() in {item.weight.data_ptr() for item in cross.to_k}
    assert unet.conv_in.weight.dtype == torch.float16
    assert StreamUNet(unet).unet.conv_in.weight.dtype == torch.float32
    assert unet.conv_in.weight.dtype == torch.float16


@pytest.mark.parametrize("upcast", [False, True])
def test_scores_are_float32_where_the_configuration_says_so(upcast: bool) -> None:
    """Queries and keys whose float16 products overflow, as SD2.1's do at 768 pixels."""
    of = ARCHITECTURES["tiny_sd21"]
    unet: Any = build(Architecture("loud", "unet", {**of.config, "upcast_attention": upcast}))
    unet.load_state_dict(random_state(of, 0), assign=True)
    for name, module in unet.named_modules():
        if name.endswith(("attn1.to_q", "attn1.to_k")):
            module.weight.data *= 512
    given, cross_kv = inputs("tiny_sd21", 1, 1), CrossKV(unet, torch.float16)
    cross = cross_kv(given["prompt"][0].half())
    for lowering, finite in (({}, upcast), ({"attention": "wide"}, True)):
        stream = StreamUNet(unet, torch.float16, lowering)
        found = stream(given["sample"].half(), given["timestep"], cross)
        assert bool(torch.isfinite(found).all()) == finite


def test_sizes_and_rows_that_do_not_fit(literal: Literal) -> None:
    unet = literal("tiny_sd15")
    for given, code in (
        (inputs("tiny_sd15", 1, 1, 12, 16), "V2V-E6121"),
        ({**inputs("tiny_sd15", 2, 2), "sample": torch.zeros(3, 4, 16, 16)}, "V2V-E6120"),
    ):
        with pytest.raises(GeometryError) as caught:
            run(unet, given)
        assert caught.value.code == code
    stream, given = StreamUNet(unet), inputs("tiny_sd15", 1, 1)
    cross = CrossKV(unet)(*given["prompt"])
    for wrong in (cross[:-1], cross[::-1]):
        with pytest.raises(GeometryError, match="V2V-E6120"):
            stream(given["sample"], given["timestep"], wrong)
    with pytest.raises(GeometryError, match="V2V-E6120"):
        stream(given["sample"], given["timestep"], cross, torch.zeros(1, 128))


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("down_block_types", ("DownBlock2D",) * 3 + ("AttnDownBlock2D",)),
        ("class_embed_type", "timestep"),
        ("time_cond_proj_dim", 16),
        ("dual_cross_attention", True),
        ("mid_block_type", "UNetMidBlock2D"),
        ("act_fn", "gelu"),
        ("mid_block_scale_factor", 2.0),
    ],
)
def test_a_configuration_that_the_walk_would_get_wrong(entry: str, value: Any) -> None:
    of = ARCHITECTURES["tiny_sd15"]
    with pytest.raises(WeightsError) as caught:
        StreamUNet(build(Architecture("odd", "unet", {**of.config, entry: value})))
    assert caught.value.code == "V2V-E6107"


@pytest.mark.skipif(
    not (golden_folder("streamdiffusion") / "unet").is_dir(), reason="the trimmed set leaves the UNet out"
)
@pytest.mark.parametrize("case", text_cases())
def test_it_computes_what_the_published_pipeline_computed(case: str) -> None:
    folder = golden_folder("streamdiffusion")
    unet = open_module(str(folder / "unet"), "unet").load()
    stream = StreamUNet(unet)
    found = load_file(folder / "cases" / f"{case}.safetensors")
    cross = CrossKV(unet)(load_file(folder / "inputs.safetensors")["prompt_cond"])
    for sample, wanted in zip(found["unet_in"], found["unet_out"], strict=True):
        assert (stream(sample, found["sub_timesteps"], cross) - wanted).abs().max() < 1e-4

"""The closed loop with the published network: literally, and as the graphs' modules play it.

VAE, detector and text encoder are the set's stubs: latents in, latents out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from golden_data import golden_config, golden_tensors
from systems.live2diff.temporal_golden import golden_network, golden_size, golden_table
from torch import Tensor, nn
from v2v_export.diffusion.cross_kv import CrossKV
from v2v_export.systems.live2diff.denoise import DenoiseStep, DenoiseWarmup
from v2v_export.systems.live2diff.latent_loop import LatentLoop
from v2v_export.systems.live2diff.layout import Layout
from v2v_export.systems.live2diff.options import RING_SLOTS, WARMUP_FRAMES, Live2DiffOptions
from v2v_export.systems.live2diff.reference_unet import LiteralUnet
from v2v_export.systems.live2diff.temporal import TemporalParts
from v2v_export.systems.live2diff.unet_graphs import UnetStep, UnetWarmup
from v2v_runtime.manifest.model import TensorSpec

pytestmark = pytest.mark.skipif(
    not os.environ.get("V2V_GOLDEN"), reason="the trimmed set holds no whole UNet: set V2V_GOLDEN"
)

LIMIT = 3e-4
"""The set's own, for stream outputs; float32 against float64 is 1.4e-5 there."""


@pytest.fixture(scope="module")
def network() -> tuple[nn.Module, TemporalParts]:
    return golden_network()


@pytest.fixture(scope="module")
def data() -> dict[str, Tensor]:
    return golden_tensors("live2diff", "stream")


@pytest.mark.parametrize("rule", ["corrected.", ""])
def test_literal_stream(network: tuple[nn.Module, TemporalParts], data: dict[str, Tensor], rule: str) -> None:
    timesteps = data["timesteps"].tolist()
    unet = LiteralUnet(*network, len(timesteps), official_startup=not rule)
    loop = LatentLoop(unet, timesteps)
    with torch.no_grad():
        made = loop.warmup(
            data["warm.frame_latents"],
            data["warm.depth_latents"],
            data["prompt_embeds"],
            data["warm.noise_encode"],
            [noise[0].transpose(0, 1) for noise in data["warm.noise_step"]],
        )
        torch.testing.assert_close(made, data["warm.output_latents"], atol=LIMIT, rtol=0)
        for step, latent in enumerate(data["stream.frame_latents"]):
            between = list(data["stream.noise_renoise"][step][:, None, :, 0])
            made = loop.step(
                latent,
                data["stream.depth_latents"][step],
                data["prompt_embeds"],
                data["stream.noise_encode"][step],
                between,
            )
            if data["output_valid"][step]:
                expected = data[f"{rule}stream.output_latents"][step]
                torch.testing.assert_close(made, expected, atol=LIMIT, rtol=0)


def tables(data: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The set's noise as the program's consts: entry f of ``noise_start`` is frame f's; entry f of
    ``noise_step`` is what step f adds, and the warm-up's frames come first."""
    start = torch.cat((data["warm.noise_encode"], data["stream.noise_encode"][:, 0]))
    warm = data["warm.noise_step"][:, 0].transpose(1, 2)
    stream = data["stream.noise_renoise"][:, :, :, 0].transpose(0, 1)
    return start, torch.cat((warm, stream), 1)


@pytest.mark.parametrize("rule", ["corrected.", ""])
@torch.no_grad()
def test_modules_of_the_graphs(
    network: tuple[nn.Module, TemporalParts], data: dict[str, Tensor], rule: str
) -> None:
    """The program by hand: sinks by rows, one entry of each ring per step, buffers, tables."""
    rows = len(data["timesteps"])
    unet, parts = network
    start, between = tables(data)
    options = Live2DiffOptions(
        rows=rows,
        steps=golden_config("live2diff")["num_inference_steps"],
        t_index_list=tuple(golden_config("live2diff")["t_index_list"]),
        noise_frames=start.shape[0],
        official_startup=not rule,
    )
    table = golden_table()
    assert list(table.timesteps) == data["timesteps"].tolist()
    coefficients = torch.from_numpy(table.coefficients())
    alpha, beta = table.start
    cross = list(CrossKV(unet)(data["prompt_embeds"]))
    specs = {f"cross_{index:02d}": TensorSpec("float", tuple(item.shape)) for index, item in enumerate(cross)}
    warm = DenoiseWarmup(UnetWarmup(unet, parts), _layout(options, specs, 0))
    x, cond = (
        alpha * data["warm.frame_latents"] + beta * start[:WARMUP_FRAMES],
        parts.flow_conv_in(data["warm.depth_latents"]),
    )
    sinks: list[list[Tensor]] = []
    for row in range(rows):
        noise = between[min(row, rows - 2) :][:1]
        given = (x, cond, data["timesteps"][row : row + 1], coefficients[row : row + 1], torch.tensor([0]))
        x, ok, *entries = warm(*given, *cross, noise)
        assert ok
        sinks.append(entries)
    torch.testing.assert_close(x, data["warm.output_latents"], atol=LIMIT, rtol=0)
    all_sinks = [torch.cat(items) for items in zip(*sinks, strict=True)]
    rings = [torch.zeros(RING_SLOTS, rows, *item.shape[2:]) for item in all_sinks]
    step_module = DenoiseStep(
        UnetStep(unet, parts, rows, official_startup=not rule), _layout(options, specs, len(rings))
    )
    latents = data["stream.frame_latents"][0]
    x_buffer = torch.zeros(rows - 1, *latents.shape[1:])
    cond_buffer = parts.flow_conv_in(torch.zeros_like(x_buffer))
    for step, latent in enumerate(data["stream.frame_latents"]):
        index = WARMUP_FRAMES + step
        x_new = alpha * latent + beta * start[index : index + 1]
        cond = parts.flow_conv_in(data["stream.depth_latents"][step])
        made = step_module(
            x_new,
            cond,
            x_buffer,
            cond_buffer,
            torch.tensor([step]),
            torch.tensor([index]),
            data["timesteps"],
            coefficients,
            between,
            *cross,
            *all_sinks,
            *rings,
        )
        clean, ok, x_buffer, cond_buffer, *entries = made
        assert ok
        for ring, entry in zip(rings, entries, strict=True):
            ring[step % RING_SLOTS] = entry[0]
        if data["output_valid"][step]:
            expected = data[f"{rule}stream.output_latents"][step]
            torch.testing.assert_close(clean, expected, atol=LIMIT, rtol=0)


def _layout(options: Live2DiffOptions, cross: dict[str, TensorSpec], caches: int) -> Layout:
    """Of the tensors only the numbers matter to the modules."""
    names: Sequence[str] = [f"{index:02d}" for index in range(caches)]
    any_shape: dict[str, Any] = {name: TensorSpec("float", (1,)) for name in names}
    width = golden_config("live2diff")["unet_streaming_config"]["block_out_channels"][0]
    return Layout(golden_size(), options, width, cross, any_shape, any_shape)

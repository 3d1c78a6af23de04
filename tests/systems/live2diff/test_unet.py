"""Whole UNets: the graphs' modules against full recomputation, and both against the published network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from diffusers import UNet2DConditionModel
from golden_data import golden_tensors
from systems.live2diff.temporal_golden import golden_network, ring_difference
from torch import Tensor, nn
from v2v_export.diffusion.configs import architecture, build
from v2v_export.diffusion.cross_kv import CrossKV
from v2v_export.diffusion.random_weights import random_state, random_tensors
from v2v_export.diffusion.unet import cross_layers, cross_specs
from v2v_export.export.pipeline import export_graph
from v2v_export.system import GraphSpec
from v2v_export.systems.live2diff.reference_unet import LiteralUnet
from v2v_export.systems.live2diff.temporal import TemporalParts
from v2v_export.systems.live2diff.temporal_state import ring_specs, sink_specs, temporal_layers
from v2v_export.systems.live2diff.unet_graphs import UnetStep, UnetWarmup
from v2v_runtime.manifest.model import TensorSpec

SIDE = 16
TIMESTEPS = [499, 379, 259, 139]

Step = Callable[..., tuple[Tensor, list[Tensor]]]
Networks = tuple[nn.Module, TemporalParts]


@pytest.fixture(scope="module")
def narrow() -> Networks:
    """SD1.5's blocks and all twenty temporal modules, 32 to 64 channels, random."""
    of = architecture("tiny_sd15")
    unet = build(of)
    unet.load_state_dict(random_state(of, 0), assign=True)
    return unet.eval(), random_parts(unet)


@pytest.fixture(scope="module")
def short() -> Networks:
    """Two levels and six temporal modules of the same kinds, random."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            block_out_channels=(32, 64),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=32,
            attention_head_dim=2,
        )
    unet.load_state_dict(random_tensors(dict(unet.named_parameters()), 0), assign=True)
    return unet.eval(), random_parts(unet)


def random_parts(unet: Any) -> TemporalParts:
    with torch.device("meta"):
        parts = TemporalParts(unet.config)
    parts.load_state_dict(random_tensors(dict(parts.named_parameters()), 1), assign=True)
    return parts.eval()


def play(
    narrow: Networks,
    rows: int,
    steps: int,
    step_of: Step,
    *,
    official: bool = False,
) -> tuple[float, float]:
    """Largest differences of eps and of the caches over a warm-up and ``steps`` steps.

    Both sides get the same inputs in every step and keep their own state; in each step the graph finds NaN in
    the ring entries that it is about to overwrite.
    """
    unet, parts = narrow
    wide: Any = LiteralUnet(unet, parts, rows, official_startup=official)
    warmup = UnetWarmup(unet, parts)
    generator = torch.Generator().manual_seed(5)
    draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    prompt = draw(1, 77, int(unet.config["cross_attention_dim"]))  # type: ignore[index]  # diffusers is untyped
    timesteps = torch.tensor(TIMESTEPS[:rows])
    worst = cache = 0.0
    with torch.no_grad():
        cross = CrossKV(unet)(prompt)
        sinks = []
        for row in range(rows):
            sample, depth = draw(8, 4, SIDE, SIDE), draw(8, 4, SIDE, SIDE)
            wanted = wide.warmup(row, sample, depth, TIMESTEPS[row], prompt)
            found, entries = warmup(sample, wide.condition(depth), timesteps[row : row + 1], cross)
            sinks.append(entries)
            worst = max(worst, float((found - wanted).abs().max()))
        state = [torch.cat(entries) for entries in zip(*sinks, strict=True)]
        cache = max(
            difference(mine, theirs) for mine, theirs in zip(state, wide.sinks().values(), strict=True)
        )
        rings = [torch.zeros(8, *item.shape[:1], *item.shape[2:]) for item in state]
        for number in range(steps):
            sample, depth = draw(rows, 4, SIDE, SIDE), draw(rows, 4, SIDE, SIDE)
            wanted = wide.step(number, sample, depth, timesteps, prompt)
            for ring in rings:
                ring[number % 8] = torch.nan
            given = (sample, wide.condition(depth), timesteps, torch.tensor([number]), cross, state, rings)
            found, new = step_of(*given)
            for ring, entry in zip(rings, new, strict=True):
                ring[number % 8] = entry[0]
            worst = max(worst, float((found - wanted).abs().max()))
        final = zip(rings, wide.rings().values(), strict=True)
        cache = max(cache, *(difference(mine, theirs) for mine, theirs in final))
    return worst, cache


def difference(found: Tensor, wanted: Any) -> float:
    return float((found - torch.from_numpy(wanted)).abs().max())


@pytest.mark.parametrize(
    ("rows", "official"), [(1, False), (2, False), (3, False), (4, False), (3, True), (4, True)], ids=str
)
def test_caches_equal_full_recomputation(short: Networks, rows: int, official: bool) -> None:
    """Over two windows: every slot is overwritten while its neighbours are open."""
    step = UnetStep(*short, rows, official_startup=official)
    eps, cache = play(short, rows, 18, step, official=official)
    assert eps <= 5e-5
    assert cache <= 1e-4


def test_all_twenty_modules_equal_full_recomputation(narrow: Networks) -> None:
    eps, cache = play(narrow, 2, 10, UnetStep(*narrow, 2))
    assert eps <= 5e-5
    assert cache <= 1e-4


def test_the_two_start_ups_differ_from_three_rows_on(short: Networks) -> None:
    """Else the tests above would not tell one from the other."""
    eps, _ = play(short, 3, 5, UnetStep(*short, 3, official_startup=True), official=False)
    assert eps > 1e-2


class Flat(nn.Module):
    """``UnetStep`` with its tensors one after the other."""

    def __init__(self, step: UnetStep, cross: int) -> None:
        super().__init__()
        self.step, self.cross = step, cross

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        ends = tensors[4:]
        half = (len(ends) - self.cross) // 2
        cut = self.cross + half
        eps, new = self.step(*tensors[:4], ends[: self.cross], ends[self.cross : cut], ends[cut:])
        return (eps, *new)


@pytest.mark.parametrize(("rows", "form"), [(1, "stacked"), (3, "unrolled")])
def test_exported_step_equals_full_recomputation(
    short: Networks, tmp_path: Path, rows: int, form: str
) -> None:
    unet: Any = short[0]
    cross = cross_specs(cross_layers(unet), 1)
    sinks, rings = (specs(unet.config, rows, SIDE, SIDE) for specs in (sink_specs, ring_specs))
    new = {
        name.replace("ring", "new"): TensorSpec("float", (1, *spec.shape[1:])) for name, spec in rings.items()
    }
    latent = TensorSpec("float", (rows, 4, SIDE, SIDE))
    spec = GraphSpec(
        "unet_step",
        lambda: Flat(UnetStep(*short, rows), len(cross)),
        {
            "sample": latent,
            "cond": TensorSpec("float", (rows, unet.config["block_out_channels"][0], SIDE, SIDE)),
            "timesteps": TensorSpec("int64", (rows,)),
            "step": TensorSpec("int64", (1,)),
            **cross,
            **sinks,
            **rings,
        },
        {"eps": latent, **new},
    )
    path = export_graph(spec, "float32", {"window": form}, tmp_path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    engine = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def step(*given: Any) -> tuple[Tensor, list[Tensor]]:
        tensors = [*given[:4], *given[4], *given[5], *given[6]]
        feeds = {name: tensor.numpy() for name, tensor in zip(spec.inputs, tensors, strict=True)}
        eps, *entries = (torch.from_numpy(np.asarray(item)) for item in engine.run(None, feeds))
        return eps, entries

    eps, cache = play(short, rows, 12, step)
    assert eps <= 5e-5
    assert cache <= 1e-4


def test_state_bytes_are_the_methods_formula() -> None:
    """1450 MiB per row at 512 x 512 in half precision, half of it sinks; the published shapes."""
    config: Any = architecture("sd15").config
    layers = temporal_layers(config, 64, 64)
    assert [(item.positions, item.channels) for item in layers[:10:2]] == [
        (4096, 320),
        (4096, 320),
        (1024, 640),
        (1024, 640),
        (256, 1280),
    ]
    assert (len(layers), layers[39].positions, layers[39].channels) == (40, 4096, 320)
    for rows in (1, 2, 4):
        for specs in (sink_specs, ring_specs):
            numbers = sum(int(np.prod(spec.shape)) for spec in specs(config, rows, 64, 64).values())
            assert 2 * numbers == rows * 725 * 2**20


needs_unet = pytest.mark.skipif(
    not os.environ.get("V2V_GOLDEN"), reason="the trimmed set holds no whole UNet: set V2V_GOLDEN"
)


@pytest.fixture(scope="module")
def published() -> Networks:
    return golden_network()


@needs_unet
@pytest.mark.parametrize("rule", ["corrected", "official"])
def test_published_network(published: Networks, rule: str) -> None:
    """Warm-up and every teacher-forced step within the set's limits: eps 5e-5, caches 1e-4."""
    given = golden_tensors("live2diff", "unet")
    official, prefix = rule == "official", "corrected." if rule == "corrected" else ""
    timesteps, prompt = given["timesteps"], given["prompt_embeds"]
    rows = len(timesteps)
    literal = LiteralUnet(*published, rows, official_startup=official)
    step, warmup = UnetStep(*published, rows, official_startup=official), UnetWarmup(*published)
    depth = given["warm.depth_sample"][0].transpose(0, 1)
    with torch.no_grad():
        cross, sinks = CrossKV(published[0])(prompt), []
        for row in range(rows):
            sample, wanted = (given[f"warm.{name}"][row, 0].transpose(0, 1) for name in ("sample", "eps"))
            found = literal.warmup(row, sample, depth, int(timesteps[row]), prompt)
            assert float((found - wanted).abs().max()) <= 5e-5
            found, entries = warmup(sample, literal.condition(depth), timesteps[row : row + 1], cross)
            assert float((found - wanted).abs().max()) <= 5e-5
            sinks.append(entries)
        state = [torch.cat(entries) for entries in zip(*sinks, strict=True)]
        rings = [torch.zeros(8, *item.shape[:1], *item.shape[2:]) for item in state]
        steps = len(given["stream.sample"])
        for number in range(steps):
            sample, depth, wanted = (
                given[name][number, :, :, 0]
                for name in ("stream.sample", "stream.depth_sample", f"{prefix}stream.eps")
            )
            valid = given["row_valid"][number]
            found = literal.step(number, sample, depth, timesteps, prompt)
            assert float((found - wanted)[valid].abs().max()) <= 5e-5, number
            for ring in rings:
                ring[number % 8] = torch.nan
            condition = literal.condition(depth)
            found, new = step(sample, condition, timesteps, torch.tensor([number]), cross, state, rings)
            assert float((found - wanted)[valid].abs().max()) <= 5e-5, number
            for ring, entry in zip(rings, new, strict=True):
                ring[number % 8] = entry[0]
    sums = given[f"{prefix}final.kv_cache_ring_stats"]
    for index, ring in enumerate(rings):
        flat = ring.double().transpose(0, 1).transpose(1, 3).flatten(2)  # [T, 2, ...]: order does not matter
        assert float((flat.mean(-1) - sums[index, :, :, 0]).abs().max()) <= 1e-4
        assert float((flat.std(-1, unbiased=False) - sums[index, :, :, 1]).abs().max()) <= 1e-4
    start, slots = f"{prefix}final.kv_cache_ring.", given[f"{prefix}stream.update_idx"]
    whole = [name for name in given if name.startswith(start)]
    assert whole
    for name in whole:
        ring = rings[int(name.removeprefix(start))]
        assert ring_difference(ring.flatten(-2), given[name], slots) <= 1e-4

"""Keys and latents that leave half precision's range: the step that would commit them is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.micro_live2diff import micro_model, micro_options
from torch import Tensor, nn
from v2v_export.system import GraphOptions, GraphSpec
from v2v_export.systems.live2diff import temporal_warmup
from v2v_export.systems.live2diff.denoise import DenoiseStep, DenoiseWarmup
from v2v_export.systems.live2diff.temporal_step import StepAttention
from v2v_export.systems.live2diff.temporal_warmup import WarmupAttention


@pytest.fixture(scope="module")
def specs() -> dict[str, GraphSpec]:
    graphs = micro_model(micro_options(2)).graphs(GraphOptions("float16", {"attention": "wide"}))
    return {spec.name: spec for spec in graphs}


def ports(spec: GraphSpec) -> dict[str, Tensor]:
    """Random inputs beside the tables; eager half precision takes them as the graph does."""
    generator = torch.Generator().manual_seed(7)
    made = {}
    for name, port in spec.inputs.items():
        kind = torch.float16 if port.dtype == "float" else torch.float32
        drawn = torch.randn(port.shape, generator=generator)
        made[name] = spec.example[name] if name in spec.example else drawn.to(kind)
    return made


def hide_key(module: nn.Module, kind: type[nn.Module]) -> None:
    """Makes one key of an attention in the middle infinite, where no query of its own step can see it: its
    score is minus infinity, since queries are positive there."""
    attention: Any = [item for item in module.modules() if isinstance(item, kind)][2]

    def positive(layer: nn.Module, given: Any, query: Tensor) -> Tensor:
        return query.abs() + 0.1

    def infinite(layer: nn.Module, given: Any, both: Tensor) -> Tensor:
        both = both.clone()
        both[-1, 0, 0] = -torch.inf
        return both

    attention.to_q.register_forward_hook(positive)
    attention.to_kv.register_forward_hook(infinite)


@torch.no_grad()
def test_a_key_past_half_precision_refuses_its_own_step(specs: dict[str, GraphSpec]) -> None:
    spec = specs["unet_step"]
    module, given = spec.make(), ports(spec)
    assert isinstance(module, DenoiseStep)
    names = list(spec.outputs)
    found = dict(zip(names, module(*given.values()), strict=True))
    assert found["ok"]
    hide_key(module, StepAttention)
    found = dict(zip(names, module(*given.values()), strict=True))
    assert not found["ok"]
    entries = [name for name, value in found.items() if name.startswith("new_") and value.isinf().any()]
    assert len(entries) == 1, "the infinity is in what would be committed"


@torch.no_grad()
def test_a_key_past_half_precision_refuses_its_warm_up(
    specs: dict[str, GraphSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the other frames' entries could tell: the sinks themselves are looked at."""
    spec = specs["unet_warmup"]
    module, given = spec.make(), ports(spec)
    assert isinstance(module, DenoiseWarmup)
    _, ok, *_ = module(*given.values())
    assert ok
    hide_key(module, WarmupAttention)
    latent, ok, *sinks = module(*given.values())
    assert latent.isnan().all()
    assert not ok
    assert sum(bool(sink.isinf().any()) for sink in sinks) == 1
    monkeypatch.setattr(temporal_warmup, "nan_unless_finite", lambda sinks: torch.zeros(()))
    latent, *_ = module(*given.values())
    assert latent.isfinite().all(), "the attention itself says nothing"


@torch.no_grad()
@pytest.mark.parametrize("name", ["x", "x_buffer"])
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan], ids=str)
def test_a_latent_that_is_no_number_refuses_its_step(
    specs: dict[str, GraphSpec], name: str, value: float
) -> None:
    spec = specs["unet_step"]
    given = ports(spec)
    given[name][0, 1, 2, 3] = value
    _, ok, *_ = spec.make()(*given.values())
    assert not ok

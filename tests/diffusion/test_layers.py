"""Attention where PyTorch runs it operator by operator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from v2v_export.diffusion import layers


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch gives it no types
    """How many numbers the largest tensor has that an operator makes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.numbers = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.numbers = max(self.numbers, made.numel())
        return made


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values whose scores are four times what may be held: [4, 2, 48, 48]."""
    monkeypatch.setattr(layers, "MOST_SCORES", 2 * 48 * 48)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(4, 2, 48, 8, generator=generator) for _ in range(3))
    return q, k, v


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("prompts", [4, 1])
def test_eager_scores_are_held_for_one_entry_at_a_time(
    given: tuple[Tensor, Tensor, Tensor], prompts: int, wide: bool
) -> None:
    q, k, v = given
    k, v = k[:prompts], v[:prompts]
    with Largest() as largest:
        found = layers.attend(q, k, v, wide=wide)
    wanted = functional.scaled_dot_product_attention(q.double(), k.double(), v.double())
    assert (found - wanted).abs().max() < 1e-6
    assert largest.numbers == 2 * 48 * 48


def test_a_graph_has_all_scores_in_one_product(given: tuple[Tensor, Tensor, Tensor]) -> None:
    """Cut into entries, TensorRT would fuse as many attentions as there are."""

    class Attention(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return layers.attend(q, k, v)

    program = torch.export.export(Attention(), given)
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert called.count("aten.matmul.default") == 2
    assert not any("split" in name or "cat" in name for name in called)

"""Modules in another precision: what is shared, what is let go, and what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from v2v_export.diffusion.errors import WeightsError
from v2v_export.diffusion.lora import Lora, fuse
from v2v_export.diffusion.lora_names import Component
from v2v_export.diffusion.precision import in_precision, recast

LAYERS = 5


def network(dtype: torch.dtype = torch.float16) -> nn.Sequential:
    """Linear layers, and a buffer that is no float."""
    torch.manual_seed(0)
    module = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(LAYERS))).to(dtype)
    module.register_buffer("order", torch.arange(4))
    return module.requires_grad_(False)


class Conversions(TorchDispatchMode):
    """Notes at each conversion how many of the watched memories are still there."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__()
        self._watched = [StorageWeakRef(tensor.untyped_storage()) for tensor in tensors]
        self.there: list[int] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten._to_copy.default:
            self.there.append(self.left())
        return func(*args, **dict(kwargs or {}))

    def left(self) -> int:
        return sum(not watched.expired() for watched in self._watched)


def test_recast_lets_each_tensor_go_before_it_makes_the_next_one() -> None:
    module = network()
    expected = {name: tensor.float() for name, tensor in module.state_dict().items()}
    with Conversions(list(module.parameters())) as watched:
        assert recast(module, torch.float32) is module
    assert watched.there == list(range(LAYERS, 0, -1))
    assert watched.left() == 0
    assert {item.dtype for item in module.parameters()} == {torch.float32}
    assert module.get_buffer("order").dtype == torch.int64
    assert all(torch.equal(tensor.float(), expected[name]) for name, tensor in module.state_dict().items())


def test_recast_to_the_same_type_copies_nothing() -> None:
    module = network()
    before = [item.data_ptr() for item in module.parameters()]
    assert [item.data_ptr() for item in recast(module, torch.float16).parameters()] == before


def test_a_copy_leaves_the_module_as_it_was() -> None:
    module = network()
    with Conversions(list(module.parameters())) as watched:
        wide = in_precision(module, torch.float32)
    assert watched.left() == LAYERS
    assert {item.dtype for item in module.parameters()} == {torch.float16}
    shared = in_precision(wide, torch.float32)
    assert [item.data_ptr() for item in shared.parameters()] == [
        item.data_ptr() for item in wide.parameters()
    ]


@pytest.mark.parametrize("convert", [in_precision, recast], ids=["copy", "recast"])
def test_a_weight_beyond_half_precision(convert: Callable[..., nn.Module]) -> None:
    module = network(torch.float32)
    module.get_parameter("2.weight")[3, 4] = 7e4
    with pytest.raises(WeightsError, match=r"2\.weight reaches 70000") as refused:
        convert(module, torch.float16)
    assert refused.value.code == "V2V-E6108"


def test_fusing_lets_a_weight_go_as_the_fused_one_takes_its_place() -> None:
    """A LoRA of SDXL changes nearly every weight: both at once would be twice 5 GB."""
    layers = [f"l{index}" for index in range(LAYERS)]
    tensors = {f"{layer}.weight": torch.ones(6, 4, dtype=torch.float16) for layer in layers}
    watched = [StorageWeakRef(tensor.untyped_storage()) for tensor in tensors.values()]
    there: list[int] = []

    class Watching(Lora):
        def layers(self, component: Component) -> list[str]:
            return layers

        def update(self, component: Component, layer: str, like: Tensor) -> Tensor:
            there.append(sum(not item.expired() for item in watched))
            return torch.ones(like.shape)

    def read() -> dict[str, Tensor]:
        return {name: tensors.pop(name) for name in list(tensors)}

    fused = fuse(read(), "unet", [Watching("two", 1.0, {})])
    assert there == list(range(LAYERS, 0, -1))
    assert all(torch.equal(item, torch.full((6, 4), 2.0).half()) for item in fused.values())

"""Inputs of a recorded module that stay on the disk: the same numbers, one at a time in memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from v2v_export.system import GraphSpec
from v2v_export.verify import modules, ports
from v2v_export.verify.arrays import ArrayReader
from v2v_export.verify.budget import Budget
from v2v_export.verify.modules import record_modules
from v2v_export.verify.ports import OnDisk
from v2v_runtime.manifest.model import TensorSpec

SHAPE = (3, 5, 7)
CACHES = 6
FOREVER = Budget(None)


class Reads:
    """Hands out one array, and knows which of its copies are still there."""

    def __init__(self) -> None:
        self.numbers = torch.linspace(-2, 2, 105).reshape(SHAPE)
        self.handed: list[StorageWeakRef] = []

    def __call__(self) -> Tensor:
        copy = self.numbers.clone()
        self.handed.append(StorageWeakRef(copy.untyped_storage()))
        return copy

    @property
    def there(self) -> int:
        return sum(not item.expired() for item in self.handed)


@pytest.fixture
def reads() -> Reads:
    return Reads()


@pytest.fixture
def lazy(reads: Reads) -> Tensor:
    return OnDisk.of(SHAPE, torch.float32, reads)


OPERATORS = {
    "sum": lambda x: x.sum((0, 2)),
    "index": lambda x: x[1:, 2],
    "index by tensor": lambda x: x[torch.tensor([2, 0])],
    "reshape": lambda x: x.reshape(-1, 7),
    "unflatten": lambda x: x.unflatten(1, (5, 1)),
    "expand": lambda x: x[:1].expand(4, -1, -1),
    "list": lambda x: torch.cat((torch.zeros(1, 5, 7), x)),
    "matmul": lambda x: x.matmul(torch.arange(14.0).reshape(7, 2)),
    "norm": lambda x: nn.functional.layer_norm(x, (7,)),
    "where": lambda x: torch.where(x > 0, x, torch.zeros(())),
    "same type": lambda x: x.to(torch.float32) + 1,
    "other type": lambda x: x.half(),
    "into": lambda x: torch.zeros(SHAPE).copy_(x),
    "itself": lambda x: x.detach(),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_see_the_numbers(name: str, reads: Reads, lazy: Tensor) -> None:
    operator: Any = OPERATORS[name]
    made = operator(lazy)
    assert type(made) is Tensor
    assert torch.equal(made, operator(reads.numbers))


def test_nothing_is_read_before_it_is_needed_or_kept_after(reads: Reads, lazy: Tensor) -> None:
    assert (tuple(lazy.shape), lazy.dtype, lazy.dim()) == (SHAPE, torch.float32, 3)
    assert not reads.handed
    lazy.sum()
    lazy.mean()
    assert len(reads.handed) == 2
    assert reads.there == 0


class Caches(nn.Module):
    """x and caches -> x moved by the mean of each cache, and one cache's last entry."""

    def __init__(self, seen: list[int]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: Tensor, index: Tensor, *caches: Tensor) -> tuple[Tensor, Tensor]:
        for cache in caches:
            x = x + cache[index].mean()
            self.seen.append(sum(array() is not None for array in DRAWN))
        return x, caches[-1][-1:]


def specification(seen: list[int]) -> GraphSpec:
    cache = TensorSpec("float", (4, 64))
    inputs = {"x": TensorSpec("float32", (2, 3)), "index": TensorSpec("int64", (2,))}
    inputs |= {f"cache_{index}": cache for index in range(CACHES)}
    outputs = {"y": TensorSpec("float32", (2, 3)), "entry": TensorSpec("float", (1, 64))}
    return GraphSpec("caches", lambda: Caches(seen), inputs, outputs, example={"index": torch.tensor([1, 3])})


DRAWN: list[weakref.ref[NDArray[Any]]] = []
"""The arrays that were made for caches."""


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Follows every array that is made for a cache."""
    drawn = modules.drawn

    def follow(*arguments: Any) -> NDArray[Any]:
        value: NDArray[Any] = drawn(*arguments)
        if value.size == 4 * 64:
            DRAWN.append(weakref.ref(value))
        return value

    monkeypatch.setattr(modules, "drawn", follow)
    yield
    DRAWN.clear()


def recorded(folder: Path, seen: list[int]) -> dict[str, Any]:
    """Name of case and tensor -> numbers."""
    left = record_modules([specification(seen)], folder, FOREVER, {}, {})
    assert left == []
    reader = ArrayReader(folder)
    return {
        f"{case['inputs']} {kind} {name}": reader.read(entry)
        for case in reader.index["caches"]
        for kind in ("given", "expected")
        for name, entry in case[kind].items()
    }


def test_large_inputs_are_not_held_while_a_module_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two UNets' caches 6 GB would be. The numbers are those of inputs that are held."""
    plain: list[int] = []
    held = recorded(tmp_path / "held", plain)
    assert plain == [CACHES] * 2 * CACHES
    monkeypatch.setattr(ports, "LARGE", 4 * 64 * 4)
    lazily: list[int] = []
    read = recorded(tmp_path / "read", lazily)
    assert lazily == [0] * 2 * CACHES
    assert read.keys() == held.keys()
    for name, value in held.items():
        assert read[name].dtype == value.dtype
        assert read[name].tobytes() == value.tobytes(), name
    # What a variant calls "float" is stored as float16, exactly.
    assert held["example given cache_0"].dtype == np.float16

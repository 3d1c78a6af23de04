"""What the two dearest things hold, the step's float32 module and the literal stream: counted, not sampled.

At 512 x 512 each needless copy is gigabytes: 2.6 of half-precision weights, 5.1 of wide ones, 6.1 of caches.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from support import micro_live2diff
from support.micro_live2diff import SIZE, micro_model, micro_options
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from v2v_export.clip import moving_frames
from v2v_export.system import GraphOptions
from v2v_export.systems.live2diff import weights


class Masters:
    """Every tensor of the UNet and of the temporal modules as it is drawn.

    Attributes:
        at_drawing: how many were there when each of the two was drawn.
    """

    def __init__(self) -> None:
        self._known: list[StorageWeakRef] = []
        self.at_drawing: list[int] = []

    def drawn(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        self.at_drawing.append(self.there)
        self._known += [StorageWeakRef(tensor.untyped_storage()) for tensor in state.values()]
        return state

    @property
    def there(self) -> int:
        return sum(not known.expired() for known in self._known)


@pytest.fixture
def masters(monkeypatch: pytest.MonkeyPatch) -> Iterator[Masters]:
    """With the garbage collector off: nothing may wait for it."""
    made = Masters()
    for module, name in ((micro_live2diff, "random_state"), (weights, "random_tensors")):
        draw = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, _draw=draw: made.drawn(_draw(*given)))
    gc.collect()
    gc.disable()
    yield made
    gc.enable()


def held(tensors: list[Tensor]) -> int:
    """Bytes of their memories, each once."""
    memories = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(memories.values())


@pytest.mark.parametrize("graph", ["unet_step", "unet_warmup"])
def test_a_wide_module_lets_the_weights_go_that_it_was_made_of(graph: str, masters: Masters) -> None:
    model = micro_model(micro_options(2))
    (spec,) = (spec for spec in model.graphs(GraphOptions("float32")) if spec.name == graph)
    module = spec.make()
    # The spatial ones were wide already when the temporal ones were drawn.
    assert masters.at_drawing == [0, 0]
    assert masters.there == 0
    wide = 4 * (model.sources.unet.parameters + model.sources.temporal.parameters)
    assert held(list(module.parameters())) == wide


def test_the_literal_stream_holds_each_weight_once(masters: Masters) -> None:
    model = micro_model(micro_options(2))
    literal = model.reference()
    assert masters.there == 0
    temporal = [module.transformer for module in literal.unet.modules]
    wide = 4 * (model.sources.unet.parameters + model.sources.temporal.parameters)
    networks = (literal.unet.unet, *temporal)
    assert held([item for network in networks for item in network.parameters()]) == wide


def test_the_literal_caches_are_made_one_at_a_time() -> None:
    literal = micro_model(micro_options(2)).reference()
    clip = moving_frames(10, SIZE.height, SIZE.width)
    literal.step(clip[:8])
    literal.step(clip[8:9])
    made: list[weakref.ref[Any]] = []
    names = []
    for name, value in literal.slots().items():
        if name.startswith(("sink_", "ring_")):
            assert not any(earlier() is not None for earlier in made), name
            made.append(weakref.ref(value))
            names.append(name)
        del value
    layers = len(literal.unet.modules) * 2
    assert len(names) == len(set(names)) == 2 * layers


@pytest.mark.parametrize("cache", ["delta", "in_place"])
def test_caches_of_before_are_refused_and_not_wrong(cache: str) -> None:
    literal = micro_model(micro_options(2, cache=cache)).reference()
    clip = moving_frames(10, SIZE.height, SIZE.width)
    literal.step(clip[:8])
    slots = literal.slots()
    first = np.array(slots["ring_00"])
    assert np.array_equal(slots["ring_00"], first)
    literal.step(clip[8:9])
    for name in ("ring_00", "sink_00"):
        with pytest.raises(RuntimeError, match="not kept"):
            slots[name]
    assert not np.array_equal(literal.slots()["ring_00"], first)

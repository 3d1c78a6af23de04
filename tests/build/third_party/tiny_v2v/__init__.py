"""The smallest system with state: it shows what a system outside v2v-export has to write, and that is all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from v2v_export.errors import ModelError
from v2v_export.weights import Weights, WeightSlot, one

if TYPE_CHECKING:
    from v2v_export.system import FrameSize, Model


@dataclass(frozen=True)
class TinyOptions:
    """How much of the memory is seen, and how often it is written (every ``interval`` frames)."""

    share: float = 0.5
    interval: int = 3
    channels: int = 4
    activation: Literal["tanh", "sigmoid"] = "tanh"
    bias: bool = True
    limit: int | None = None


class Tiny:
    """A system (``v2v_export.system.System``)."""

    name = "tiny"
    title = "Two convolutions and a memory"
    weights = (WeightSlot("net"),)
    lowerings: Mapping[str, tuple[str, ...]] = {"blend": ("sum", "where")}
    options: type[Any] = TinyOptions

    def template(self) -> str:
        return (
            'name = "tiny"\nsystem = "tiny"\n[frame]\nheight = 16\nwidth = 24\n[weights]\nnet = "random:0"\n'
        )

    def load(self, weights: Weights, options: Any, size: FrameSize) -> Model:
        if size.height % 2 or size.width % 2:
            raise ModelError(
                "V2V-E6900", f"frame of {size.height} x {size.width}", "multiples of 2", "round the size"
            )
        from tiny_v2v.model import TinyModel

        return TinyModel(one(weights, "net"), options, size)


SYSTEM = Tiny()

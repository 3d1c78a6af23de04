"""State slots: their physical buffers, which of them holds the value, and rings.

A slot that a step writes as a whole is double: the step writes the back buffer and the commit swaps. A ring,
or a slot of which a step writes views, is single: entries are staged and copied when the step commits (or
bound straight to the entry where the program says ``in_place``). Doubleness is derived from the program, and
the second buffer is made when the first plan needs it, which is while the stream is being made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from v2v_runtime.backends.base import Array, Tensor


class Cell:
    """An index that chooses among the physical tensors of an operand. Plans hold it, commits move it."""

    __slots__ = ("index",)

    def __init__(self) -> None:
        self.index = 0


class SlotState(Cell):
    """One slot of one stream.

    Attributes:
        name: the slot's name.
        buffers: one or two tensors of the slot's shape; ``buffers[index]`` holds the value.
        ring: the ring's cell and count; None for a plain slot.
    """

    __slots__ = ("_allocate", "_init", "buffers", "name", "ring")

    def __init__(
        self,
        name: str,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        init: Array | None,
        ring: bool,
        allocate: Callable[[np.dtype[Any], tuple[int, ...]], Tensor],
    ) -> None:
        """``init``: the value after a reset, of the slot's type and shape; None for zeros."""
        super().__init__()
        self.name = name
        self._allocate = allocate
        self._init = init
        self.buffers: list[Tensor] = [allocate(dtype, shape)]
        self.ring = Ring(shape[0]) if ring else None
        if init is not None:
            self.buffers[0].write(init)

    @property
    def value(self) -> Tensor:
        """The tensor that holds the slot's value."""
        return self.buffers[self.index]

    def make_double(self) -> None:
        """Adds the second buffer, once."""
        if len(self.buffers) == 1:
            self.buffers.append(self._allocate(self.buffers[0].dtype, self.buffers[0].shape))

    def reset(self) -> None:
        """Back to the slot's init; a ring's count to 0."""
        if self._init is None:
            self.value.zero()
        else:
            self.value.write(self._init)
        if self.ring is not None:
            self.ring.set_count(0)


class Ring(Cell):
    """The position of a ring: ``index`` is where the next entry lands, ``count`` how many were written."""

    __slots__ = ("count", "length")

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.count = 0

    def set_count(self, count: int) -> None:
        self.count = count
        self.index = count % self.length

    def advance(self) -> None:
        self.count += 1
        self.index = self.count % self.length

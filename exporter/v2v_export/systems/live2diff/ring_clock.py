"""Which entries of the rings a step attends, and at which positions: closed forms of the step's number.

Method, sections 4.3 and 9.5, with one common physical slot for all rows: the entry of step s is at s mod 8 in
every row, and rows differ in how many entries they see.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from v2v_export.systems.live2diff.temporal_state import RING


class RingClock(NamedTuple):
    """One step's control tensors for T rows. Positions are counted from the first after the sinks (8 -> 0).

    Attributes:
        opened: bool [9, T]: the row attends this entry of its ring, or, last, its own new token. Never the
            entry at s mod 8, which is about to be overwritten.
        position: int64 [9, T]: of each entry (0 where it is closed), then of the own token and the query.
        entry: int64 [1], s mod 8: the ring's entry that the step writes.
    """

    opened: Tensor
    position: Tensor
    entry: Tensor


def ring_clock(step: Tensor, rows: int, *, official_startup: bool = False) -> RingClock:
    """The control tensors at ``step`` (int64 [1], 0 at the first frame after the warm-up).

    n = s - r is the number of frames that row r has seen before; while it is negative the row holds no frame,
    and attends its sinks alone. The published start-up takes n = s - 1 for all rows after the first, so that
    rows from the third on attend what they computed before a frame reached them.
    """
    lag = [min(row, 1) for row in range(rows)] if official_startup else list(range(rows))
    seen = step - torch.tensor(lag)
    count = (seen + 1).clamp(0, RING)
    age = torch.remainder(step - torch.arange(RING), RING)[:, None]
    opened = (age >= 1) & (age < count)
    position = torch.where(opened, count - 1 - age, 0)
    own = (count - 1).clamp(min=0)
    if official_startup and rows > 1:
        # The published code's second row asks from position 9 while it is idle.
        own = own + torch.tensor([int(row == 1) for row in range(rows)]) * (seen < 0)
    entry = torch.remainder(step, RING)
    return RingClock(torch.cat((opened, count[None] > 0)), torch.cat((position, own[None])), entry)

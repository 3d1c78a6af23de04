"""The recipe's ``[options]`` of Shortcut-V2V."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ShortcutOptions:
    """What one stream of this system can choose; the widths come from the weights where they are files.

    Attributes:
        level: dependence level, how deep the shortcut reaches into the teacher (paper, table 4).
        interval: alpha, frames from one refresh of the reference to the next, at least 1.
        schedule: what a refreshing frame shows: ``shortcut`` the block's estimate from the old reference (the
            paper's choice for this teacher; the refresh runs late), ``teacher`` the full teacher's picture.
        ngf: the teacher's width, for random weights.
        n_blocks: the teacher's residual blocks, for random weights.
        hidden: the block's width h, for random weights: C/2, C/4 or C/8 of the split's C channels; 0: C/2.
    """

    level: Literal["low", "medium", "high"] = "medium"
    interval: int = 3
    schedule: Literal["shortcut", "teacher"] = "shortcut"
    ngf: int = 64
    n_blocks: int = 6
    hidden: int = 0

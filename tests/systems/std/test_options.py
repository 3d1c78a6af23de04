"""Options that no stream can be made of are refused before any weights are looked at."""

from __future__ import annotations

import pytest
from v2v_export.system import FrameSize
from v2v_export.systems.std import SYSTEM
from v2v_export.systems.std.errors import StudentOptionError
from v2v_export.systems.std.options import StdOptions


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_a_seed_out_of_range(seed: int) -> None:
    with pytest.raises(StudentOptionError, match=r"V2V-E6230.*seed = "):
        SYSTEM.load({}, StdOptions(seed=seed), FrameSize(64, 64))

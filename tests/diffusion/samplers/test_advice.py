"""What a refusal advises is taken."""

from __future__ import annotations

import re

import pytest
from v2v_export.diffusion.samplers import SamplerError, distilled


# A third, a ninth and a twelfth lose their step where they are rounded down.
@pytest.mark.parametrize("steps", [3, 7, 9, 12, 49, 50])
def test_the_strength_that_is_advised_leaves_a_step(steps: int) -> None:
    with pytest.raises(SamplerError) as caught:
        distilled(steps, 0.5 / steps)
    (told,) = re.findall(r"raise strength to ([\d.]+) or more", caught.value.fix)
    assert len(distilled(steps, float(told))) == 1


def test_no_more_steps_are_advised_than_there_are() -> None:
    with pytest.raises(SamplerError) as caught:
        distilled(50, 0.01)
    assert caught.value.fix == "raise strength to 0.02 or more"

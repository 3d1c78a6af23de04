"""What a refusal advises is taken."""

from __future__ import annotations

import re

import pytest
from v2v_export.diffusion.samplers import SamplerError, distilled, indexed
from v2v_export.diffusion.samplers.timesteps import least_strength


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


@pytest.mark.parametrize("steps", range(1, 51))
def test_the_steps_that_are_advised_are_enough(steps: int) -> None:
    for strength in (0.5 / steps, 1 / 49, 1 / 3, 0.9999 / steps, 0.021):
        if int(steps * strength):
            continue
        with pytest.raises(SamplerError) as caught:
            distilled(steps, strength)
        for told in re.findall(r"take at least (\d+) steps", caught.value.fix):
            assert len(distilled(int(told), strength)) == 1
        (told,) = re.findall(r"raise strength to ([\d.]+) or more", caught.value.fix)
        assert len(distilled(steps, float(told))) == 1


def test_the_least_strength_keeps_as_many_and_no_lesser_one_does() -> None:
    for steps in range(1, 51):
        for kept in range(1, steps + 1):
            least = least_strength(steps, kept)
            assert int(steps * least) >= kept
            assert int(steps * (least - 2e-4)) < kept


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 50])
def test_the_indices_that_are_advised_are_some(steps: int) -> None:
    with pytest.raises(SamplerError) as caught:
        indexed([], steps)
    (told,) = re.findall(r"take \[([\d, ]+)\]", caught.value.fix)
    assert len(indexed([int(index) for index in told.split(",")], steps)) <= 2

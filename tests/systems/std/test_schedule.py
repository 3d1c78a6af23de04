"""The timesteps that students run at, by the published table and by diffusers."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from diffusers import TCDScheduler
from v2v_export.diffusion.errors import GeometryError
from v2v_export.systems.std.checks import check_options
from v2v_export.systems.std.errors import StudentOptionError
from v2v_export.systems.std.options import StdOptions
from v2v_export.systems.std.reference import make_scheduler
from v2v_export.systems.std.schedule import scheduler_steps, student_table, student_timesteps

PUBLISHED = [
    (0.65, 8, 13, [619, 539, 479, 399, 319, 239, 159, 79], (0.37825, 0.92570)),
    (0.65, 4, 7, [579, 439, 299, 159], (0.42656, 0.90446)),
    (0.75, 8, 11, [739, 639, 559, 459, 379, 279, 199, 99], (0.24762, 0.96886)),
    (0.75, 6, 8, [759, 639, 499, 379, 259, 139], (0.22850, 0.97354)),
    (0.75, 4, 6, [679, 499, 339, 179], (0.30981, 0.95080)),
    (0.85, 8, 10, [799, 699, 599, 499, 399, 299, 199, 99], (0.19286, 0.98123)),
    (0.85, 4, 5, [799, 599, 399, 199], (0.19286, 0.98123)),
    (0.95, 8, 9, [899, 779, 679, 559, 459, 339, 239, 119], (0.11958, 0.99282)),
    (0.95, 4, 5, [799, 599, 399, 199], (0.19286, 0.98123)),
]
"""Strength, steps, the pipeline's num_inference_steps, timesteps, and the shares of picture and noise."""

STEPS_075 = [
    (1.432975, -0.453419),
    (1.271848, -0.296714),
    (1.280132, -0.326122),
    (1.172069, -0.220820),
    (1.168205, -0.247859),
    (1.098623, -0.177378),
    (1.088884, -0.215386),
    (1.056311, -0.312374),
]
"""A and B of strength 0.75 with 8 steps."""


@pytest.mark.parametrize(("strength", "steps", "scheduler", "timesteps", "start"), PUBLISHED)
def test_published_pairs_have_the_published_timesteps(
    strength: float, steps: int, scheduler: int, timesteps: list[int], start: tuple[float, float]
) -> None:
    options = StdOptions(strength=strength, steps=steps)
    assert scheduler_steps(strength, steps) == scheduler
    table = student_table(options)
    assert table.timesteps.tolist() == timesteps
    np.testing.assert_allclose(table.start, start, atol=6e-6)
    assert not table.stochastic


def test_published_coefficients() -> None:
    table = student_table(StdOptions(strength=0.75, steps=8))
    np.testing.assert_allclose(np.stack([table.a, table.b], 1), STEPS_075, atol=6e-7)


@pytest.mark.parametrize("strength", [0.3, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 6, 7, 8, 12])
def test_every_pair_is_what_diffusers_runs(strength: float, steps: int) -> None:
    # By hand from the scheduler's own list, as the pipeline cuts it.
    count = scheduler_steps(strength, steps)
    scheduler = TCDScheduler()
    scheduler.set_timesteps(count)
    expected = scheduler.timesteps[count - int(count * strength) :].tolist()
    assert len(expected) == steps
    assert list(student_timesteps(StdOptions(strength=strength, steps=steps)).values) == expected
    assert int((count - 1) * strength) < steps


@pytest.mark.parametrize(
    "options",
    [
        StdOptions(strength=0.75, steps=8),
        StdOptions(strength=0.95, steps=4),
        StdOptions(strength=0.65, steps=1),
        StdOptions(timesteps=(779, 679, 559, 459, 339, 239, 139, 39)),
    ],
)
def test_table_steps_are_diffusers_steps(options: StdOptions) -> None:
    generator = torch.Generator().manual_seed(1)
    scheduler, table = make_scheduler(options), student_table(options)
    timesteps = scheduler.timesteps[scheduler.begin_index :]
    assert timesteps.tolist() == table.timesteps.tolist()
    z, noise = torch.randn(2, 1, 4, 8, 8, generator=generator, dtype=torch.float64)
    x = scheduler.add_noise(z, noise, timesteps[:1])
    mine = table.start[0] * z + table.start[1] * noise
    for t, a, b in zip(timesteps, table.a, table.b, strict=True):
        o = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        x = scheduler.step(o, t, x, eta=0.0).prev_sample
        mine = a * mine + b * o
    torch.testing.assert_close(mine, x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("strength", "steps", "words", "advice"),
    [
        (0.0, 8, "leaves no step", "0.65, 0.75, 0.85 or 0.95"),
        (1.2, 8, "at most 1", "0.65, 0.75, 0.85 or 0.95"),
        (-0.5, 40, "above 0", "trained for: 0.85 or 0.95"),
        (0.75, 0, "at least one step", "take 8, 6 or 4 steps, as students are run"),
        (0.1, 0, "at least one step", "take 4 steps, as students are run"),
        (0.05, -1, "at least one step", "take 2 steps"),
        (0.01, 1, "= 0 steps", "no step is left at this strength: raise strength to 0.02 or more"),
        (0.01, 8, "= 0 steps", "raise strength to 0.16 or more"),
        (0.1, 8, "= 5 steps", "take 5 steps or fewer, or raise strength to 0.16 or more"),
        (0.75, 38, "= 37 steps", "take 37 steps or fewer, or raise strength to 0.76 or more"),
        (0.75, 60, "= 37 steps", "take 37 steps or fewer"),
        (0.01, 60, "= 0 steps", "take 8, 6 or 4 steps at strength 0.75"),
    ],
)
def test_what_leaves_no_step_is_refused_with_words(
    strength: float, steps: int, words: str, advice: str
) -> None:
    with pytest.raises(StudentOptionError, match="V2V-E6230") as caught:
        student_table(StdOptions(strength=strength, steps=steps))
    assert words in str(caught.value)
    assert caught.value.fix.endswith(advice)


def test_every_way_that_is_told_makes_a_student() -> None:
    ways = 0
    for steps in (-1, 0, *range(1, 52)):
        for strength in (-1.0, 0.0, 0.001, 0.0201, 0.05, 0.09, 0.1, 1 / 3, 0.58, 0.75, 0.95, 0.999, 1.01):
            try:
                scheduler_steps(strength, steps)
            except StudentOptionError as error:
                for changed in followed(strength, steps, error.fix):
                    assert scheduler_steps(*changed) > 0
                    ways += 1
    assert ways > 1000


def test_every_way_that_a_recipe_is_told_is_taken() -> None:
    """No way out of one refusal ends in another one."""
    ways = 0
    for steps in range(-1, 9):
        for strength in (-1.0, 0.0, 0.001, 0.0201, 0.05, 0.09, 0.1, 1 / 3, 0.58, 0.75, 0.95, 0.999, 1.01):
            try:
                check_options(StdOptions(strength=strength, steps=steps))
            except StudentOptionError as error:
                for changed in followed(strength, steps, error.fix):
                    check_options(StdOptions(strength=changed[0], steps=changed[1]))
                    ways += 1
    assert ways > 100


@pytest.mark.parametrize("steps", [9, 38, 40, 51])
@pytest.mark.parametrize("strength", [0.0, 0.1, 0.75])
def test_too_many_steps_are_told_as_that(steps: int, strength: float) -> None:
    """Whether or not there are so many timesteps at that strength: none of them would be run."""
    with pytest.raises(GeometryError, match="V2V-E6122") as caught:
        check_options(StdOptions(strength=strength, steps=steps))
    assert caught.value.fix == "take 8, 6 or 4, as students are run"


def followed(strength: float, steps: int, advice: str) -> list[tuple[float, int]]:
    """Each way that a piece of advice names, as (strength, steps)."""
    ways = [(float(told), steps) for told in re.findall(r"raise strength to ([\d.]+) or more", advice)]
    if "trained for" in advice:
        # A wrong number of steps is told next; strengths are right for some number.
        ways += [(float(told), max(1, min(steps, 32))) for told in re.findall(r"0\.\d\d", advice)]
    for told in re.findall(r"take ([\d, or]+) steps", advice):
        at = 0.75 if "at strength 0.75" in advice else strength
        ways += [(at, int(count)) for count in re.findall(r"\d+", told)]
        ways += [(at, 1)] if "or fewer" in advice else []
    assert ways, advice
    return ways

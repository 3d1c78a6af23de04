"""Which timesteps a step count, a strength or an index list means."""

from __future__ import annotations

import pytest
from diffusers import DDIMScheduler, LCMScheduler, TCDScheduler
from golden_data import golden_folder
from safetensors.numpy import load_file
from v2v_export.diffusion.samplers import (
    SamplerError,
    Timesteps,
    distilled,
    indexed,
    leading,
    listed,
    trailing,
)

STD = [
    # strength, steps asked for, timesteps: the published table, read off the paper's configurations
    (0.65, 13, [619, 539, 479, 399, 319, 239, 159, 79]),
    (0.65, 7, [579, 439, 299, 159]),
    (0.75, 11, [739, 639, 559, 459, 379, 279, 199, 99]),
    (0.75, 8, [759, 639, 499, 379, 259, 139]),
    (0.75, 6, [679, 499, 339, 179]),
    (0.85, 10, [799, 699, 599, 499, 399, 299, 199, 99]),
    (0.85, 5, [799, 599, 399, 199]),
    (0.95, 9, [899, 779, 679, 559, 459, 339, 239, 119]),
    (0.95, 5, [799, 599, 399, 199]),
]


@pytest.mark.parametrize(("strength", "steps", "expected"), STD)
def test_the_table_of_std(strength: float, steps: int, expected: list[int]) -> None:
    assert list(distilled(steps, strength).values) == expected
    theirs = TCDScheduler()
    theirs.set_timesteps(steps)
    assert theirs.timesteps.tolist()[steps - int(steps * strength) :] == expected


def test_all_fifty_indices() -> None:
    stored = load_file(golden_folder("streamdiffusion") / "schedule.safetensors")
    count = len(stored["timesteps"])
    assert list(indexed(range(count), count).values) == stored["timesteps"].tolist()


def test_index_lists() -> None:
    assert indexed([30, 40]).values == (399, 199)
    assert indexed([0, 3], steps=4).values == (999, 259)
    assert indexed([32, 45]).targets == (99, -1)


@pytest.mark.parametrize("steps", range(1, 51))
def test_every_step_count_as_diffusers(steps: int) -> None:
    theirs = LCMScheduler()
    theirs.set_timesteps(steps)
    assert list(distilled(steps).values) == theirs.timesteps.tolist()


@pytest.mark.parametrize(
    ("steps", "strength"), [(4, 0.75), (4, 0.5), (1, 0.02), (8, 0.65), (3, 0.29), (50, 1)]
)
def test_both_conventions_of_strength(steps: int, strength: float) -> None:
    """``squeeze`` is the scheduler's own; ``slice`` is what image-to-image pipelines do with its list."""
    theirs = LCMScheduler()
    if int(50 * strength) >= steps:
        theirs.set_timesteps(steps, strength=strength)
        assert list(distilled(steps, strength, "squeeze").values) == theirs.timesteps.tolist()
    theirs.set_timesteps(steps)
    kept = min(int(steps * strength), steps)
    if kept:
        assert list(distilled(steps, strength).values) == theirs.timesteps.tolist()[steps - kept :]


def test_the_conventions_differ() -> None:
    assert distilled(4, 0.75).values == (759, 499, 259)
    assert distilled(4, 0.75, "squeeze").values == (739, 559, 379, 199)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 20, 33, 50])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_ddim_spacings_as_diffusers(steps: int, spacing: str) -> None:
    theirs = DDIMScheduler(timestep_spacing=spacing, steps_offset=1)
    theirs.set_timesteps(steps)
    ours = leading(steps) if spacing == "leading" else trailing(steps)
    assert list(ours.values) == theirs.timesteps.tolist()
    assert ours.targets == tuple(value - 1000 // steps for value in ours.values)


@pytest.mark.parametrize("make", [distilled, leading, trailing])
def test_no_step_left_is_told(make: object) -> None:
    with pytest.raises(SamplerError, match=r"V2V-E6150.*int\(4 steps \* strength 0.2\) is 0") as caught:
        make(4, 0.2)  # type: ignore[operator]
    assert "raise strength to 0.25 or more, or take at least 5 steps" in caught.value.fix
    assert len(make(5, 0.2)) == len(make(4, 0.25)) == 1  # type: ignore[operator]


def test_squeezed_to_nothing_is_told() -> None:
    with pytest.raises(SamplerError, match=r"(?s)V2V-E6150.*at most int\(50 \* 0.1\) = 5 steps"):
        distilled(6, 0.1, "squeeze")


@pytest.mark.parametrize(
    ("steps", "strength"), [(0, 1), (-1, 1), (51, 1), (4, 0), (4, 1.01), (4, float("nan"))]
)
def test_out_of_range(steps: int, strength: float) -> None:
    with pytest.raises(SamplerError, match="V2V-E6151"):
        distilled(steps, strength)


def test_an_unknown_convention() -> None:
    with pytest.raises(SamplerError, match="V2V-E6151"):
        distilled(4, 0.5, "half")  # type: ignore[arg-type]  # the error is what is tested


@pytest.mark.parametrize("values", [[], [5, 5], [5, 6], [1000, 3], [3, -1]])
def test_lists_that_are_no_timesteps(values: list[int]) -> None:
    with pytest.raises(SamplerError, match="V2V-E6152"):
        listed(values)


@pytest.mark.parametrize("indices", [[], [45, 32], [32, 32], [-1, 3], [32, 50]])
def test_lists_that_are_no_indices(indices: list[int]) -> None:
    with pytest.raises(SamplerError, match="V2V-E6154"):
        indexed(indices)


def test_rows_that_the_steps_do_not_give() -> None:
    steps = distilled(4, 0.5)
    assert steps.require_rows(2) is steps
    with pytest.raises(SamplerError, match=r"V2V-E6153.*3 rows in flight, but 2 steps: 499, 259"):
        steps.require_rows(3)


def test_timesteps_are_int64() -> None:
    array = Timesteps((5, 3), (3, -1)).array()
    assert array.dtype == "int64"
    assert array.tolist() == [5, 3]

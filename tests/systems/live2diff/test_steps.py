"""Which steps a recipe means, and that what a refusal advises makes a stream."""

from __future__ import annotations

import math
import re
from itertools import product
from typing import Any

import pytest
from v2v_export.diffusion.samplers import SamplerError
from v2v_export.errors import ModelError
from v2v_export.systems.live2diff.options import Live2DiffOptions


def timesteps(**options: Any) -> tuple[int, ...]:
    return Live2DiffOptions(**options).timesteps().values


def refused(**options: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        timesteps(**options)
    return caught.value


def advised(options: dict[str, Any]) -> str | None:
    """What a refusal advises; None where there is a stream, of as many rows as asked for."""
    try:
        made = timesteps(**options)
    except ModelError as error:
        return error.fix
    assert len(made) == options["rows"]
    return None


def followed(options: dict[str, Any], advice: str) -> dict[str, Any]:
    """The options with one alternative of the advice carried out, read as a user reads it."""
    changed = dict(options)
    if "remove it" in advice:
        del changed["steps"]
    for name, value in re.findall(r"(rows|steps|strength|t_index_list) = (\[[\d, ]*\]|[\d.]+)", advice):
        if name == "t_index_list":
            changed[name] = tuple(map(int, value.strip("[]").split(",")))
        else:
            changed[name] = float(value) if name == "strength" else int(value)
    for count in re.findall(r"give t_index_list (\d+) entries", advice):
        changed["t_index_list"] = tuple(range(int(count)))
    for values in re.findall(r"^take \[([\d, ]+)\], say", advice):
        changed["t_index_list"] = tuple(map(int, values.split(",")))
    assert changed != options, advice
    return changed


def test_published_default() -> None:
    assert timesteps() == (399, 199)


def test_strength_takes_the_last_of_the_steps() -> None:
    # Four LCM steps are 999, 759, 499, 259; int(4 * 0.6) = 2 of them are left.
    assert timesteps(steps=4, strength=0.6, rows=2) == (499, 259)
    assert timesteps(steps=4, strength=0.5, rows=2) == (499, 259)


@pytest.mark.parametrize(("strength", "made"), [(0.1, 5), (0.5, 25)])
def test_strength_of_fifty_steps_does_not_fill_the_memory_unasked(strength: float, made: int) -> None:
    error = refused(strength=strength)
    assert error.code == "V2V-E6271"
    assert f"= {made}" in error.seen
    # Fewer steps of the same strength come first; as many rows as the steps make, second, if they are few.
    more = f", or set rows = {made}" if made <= 8 else ""
    assert error.fix == f"set steps = {math.ceil(2 / strength)} for 2 rows{more}"


def test_strength_that_leaves_no_step() -> None:
    error = refused(steps=4, strength=0.2)
    assert isinstance(error, SamplerError)
    assert error.code == "V2V-E6150"
    assert "int(4 steps * strength 0.2) is 0" in error.seen
    assert error.fix == "set steps = 10 for 2 rows"


@pytest.mark.parametrize("rows", [0, -1])
def test_no_row_is_no_stream(rows: int) -> None:
    error = refused(rows=rows)
    assert error.code == "V2V-E6271"
    assert f"rows = {rows}, but the default t_index_list [30, 40] has 2" in error.seen
    assert "at least one" in error.expected
    assert error.fix == "set rows = 2"


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        ({"rows": 9, "t_index_list": tuple(range(9))}, "set rows = 2"),
        ({"rows": 25, "strength": 0.5}, "set steps = 4 and strength = 0.5, and rows = 2"),
        ({"rows": 10**9}, "set rows = 2"),
    ],
    ids=["list", "strength", "absurd"],
)
def test_more_rows_than_a_distilled_model_needs(options: dict[str, Any], fix: str) -> None:
    error = refused(**options)
    assert (error.code, error.fix) == ("V2V-E6122", fix)
    assert f"rows: {options['rows']} denoising steps" in error.seen


def test_as_many_rows_as_it_may_need() -> None:
    assert len(timesteps(rows=8, t_index_list=tuple(range(8)))) == 8


def test_a_list_of_another_length() -> None:
    error = refused(rows=3, t_index_list=(30, 40))
    assert error.code == "V2V-E6271"
    assert error.fix == "set rows = 2, or give t_index_list 3 entries"


def test_steps_that_the_default_list_is_not_of() -> None:
    error = refused(steps=4)
    assert error.code == "V2V-E6275"
    assert "steps = 4 with neither t_index_list nor strength" in error.seen
    assert error.fix == "set t_index_list = [2, 3], say"


def test_list_and_strength_exclude_each_other() -> None:
    error = refused(t_index_list=(30, 40), strength=0.5)
    assert error.code == "V2V-E6275"
    assert "remove strength, or the list" in error.fix


@pytest.mark.parametrize("steps", [0, -1, 51])
def test_step_counts_out_of_range(steps: int) -> None:
    assert refused(steps=steps).code == "V2V-E6275"
    error = refused(steps=steps, strength=0.5)
    assert error.code == "V2V-E6275"
    assert error.fix == "set steps = 4 and strength = 0.5"


@pytest.mark.parametrize("strength", [0.0, -0.5, 1.5, math.nan])
def test_strengths_out_of_range(strength: float) -> None:
    error = refused(strength=strength, rows=3)
    assert error.code == "V2V-E6275"
    assert error.fix == "set steps = 6 and strength = 0.5"


def test_every_way_that_a_refused_strength_is_told_makes_a_stream() -> None:
    ways = 0
    rows, steps = (-1, 0, 1, 2, 3, 4, 25, 26, 60), (-1, 0, 1, 2, 4, 7, 49, 50, 51)
    strengths = (-1.0, 0.0, 0.001, 0.0201, 0.1, 1 / 3, 0.5, 0.58, 0.999, 1.0, 1.5)
    for row, count, strength in product(rows, steps, strengths):
        options = {"rows": row, "steps": count, "strength": strength}
        advice = advised(options)
        for way in advice.split(", or ") if advice else ():
            made = followed(options, way)
            assert len(timesteps(**made)) == made["rows"], (options, advice)
            ways += 1
    assert ways > 500


def test_every_way_that_a_refused_list_is_told_leads_to_a_stream() -> None:
    """A recipe with several faults is told of one at a time."""
    rows, steps = (-1, 0, 1, 2, 3, 50, 51), (None, -1, 0, 1, 2, 4, 50, 51)
    lists = (None, (), (0,), (30, 40), (40, 30), (2, 60), (-1,), tuple(range(10)))
    for row, count, indices in product(rows, steps, lists):
        options = {"rows": row, "t_index_list": indices}
        if count is not None:
            options["steps"] = count
        for _ in range(4):
            advice = advised(options)
            if advice is None:
                break
            options = followed(options, advice.split(", or ")[-1])
        else:
            pytest.fail(f"{row} rows, {count} steps, {indices}")

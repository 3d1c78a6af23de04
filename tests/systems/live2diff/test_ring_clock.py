"""The closed forms of mask, positions and slots against the published tables and the method's examples."""

from __future__ import annotations

import pytest
import torch
from golden_data import golden_tensors
from systems.live2diff.temporal_golden import RULES
from v2v_export.systems.live2diff.ring_clock import ring_clock


@pytest.mark.parametrize("file", ["attention"])
@pytest.mark.parametrize("rule", RULES)
def test_published_tables_of_two_rows(file: str, rule: str) -> None:
    """Theirs are by physical slot of each row; both are compared by the age of the entry."""
    given = golden_tensors("live2diff", file)
    prefix = RULES[rule] + "stream."
    for step, (mask, pe, slot) in enumerate(
        zip(
            given[prefix + "temporal_attention_mask"],
            given[prefix + "pe_idx"],
            given[prefix + "update_idx"],
            strict=True,
        )
    ):
        clock = ring_clock(torch.tensor([step]), 2, official_startup=rule == "official")
        for row in range(2):
            own = int(slot[row])
            assert bool(clock.opened[8, row]) == (float(mask[row, own]) == 0.0)
            assert 8 + int(clock.position[8, row]) == int(pe[row, own])
            assert not clock.opened[step % 8, row]
            for age in range(1, 8):
                theirs, ours = 8 + (own - 8 - age) % 8, (step - age) % 8
                opened = float(mask[row, theirs]) == 0.0
                if step < row and opened:
                    # Their idle second row names slot 9 as its own: slot 8 is not older than it.
                    continue
                assert bool(clock.opened[ours, row]) == opened, (step, row, age)
                if opened:
                    assert 8 + int(clock.position[ours, row]) == int(pe[row, theirs]), (step, row, age)


def window(step: int, row: int, rows: int, *, official: bool) -> dict[int, int]:
    """Step that an attended entry is of -> its position, the own one included."""
    clock = ring_clock(torch.tensor([step]), rows, official_startup=official)
    seen = {
        step - (step - entry) % 8: 8 + int(clock.position[entry, row])
        for entry in range(8)
        if clock.opened[entry, row]
    }
    if clock.opened[8, row]:
        seen[step] = 8 + int(clock.position[8, row])
    return seen


def test_corrected_rows_are_row_0_delayed() -> None:
    for step in range(30):
        for row in range(1, 4):
            first = window(step - row, 0, 4, official=False) if step >= row else {}
            assert window(step, row, 4, official=False) == {s + row: p for s, p in first.items()}


@pytest.mark.parametrize(
    ("step", "row", "expected"),
    [
        (0, 0, {0: 8}),
        (0, 1, {}),
        (0, 3, {}),
        (1, 2, {1: 8}),  # a row without a frame attends its own token
        (3, 3, {1: 8, 2: 9, 3: 10}),  # two tokens of no frame before its first
        (7, 0, {s: 8 + s for s in range(8)}),
        (8, 0, {s: 7 + s for s in range(1, 9)}),
        (8, 2, {s: 7 + s for s in range(1, 9)}),
        (9, 3, {s: 6 + s for s in range(2, 10)}),
    ],
)
def test_published_start_of_four_rows(step: int, row: int, expected: dict[int, int]) -> None:
    """From the method's worked example of the published rule."""
    assert window(step, row, 4, official=True) == expected

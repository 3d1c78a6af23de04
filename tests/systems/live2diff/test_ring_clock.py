"""The closed forms of mask, positions and slots against the published tables and the method's examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import pytest
import torch
from golden_data import golden_tensors
from systems.live2diff.temporal_golden import RULES
from v2v_export.systems.live2diff.ring_clock import ring_clock


@pytest.mark.parametrize("file", ["attention", "stream"])
@pytest.mark.parametrize("rule", RULES)
def test_published_tables(file: str, rule: str) -> None:
    """Theirs are by physical slot of each row, ours by the step that an entry is of: both as the latter."""
    given = golden_tensors("live2diff", file)
    prefix, official = RULES[rule] + "stream.", rule == "official"
    masks, positions, slots = (
        given[prefix + name] for name in ("temporal_attention_mask", "pe_idx", "update_idx")
    )
    rows = slots.shape[1]
    written: list[dict[int, int]] = [{} for _ in range(rows)]
    for step, row in product(range(len(slots)), range(rows)):
        own = int(slots[step, row])
        written[row][own] = step
        if not given["row_valid"][step, row]:
            continue  # the row holds no frame yet
        opened = (masks[step, row] == 0).nonzero().flatten().tolist()
        seen = {written[row][slot]: int(positions[step, row, slot]) for slot in opened if slot >= 8}
        assert window(step, row, rows, official=official) == seen, (step, row)
        clock = ring_clock(torch.tensor([step]), rows, official_startup=official)
        assert 8 + int(clock.position[8, row]) == int(positions[step, row, own]), (step, row)
        assert not clock.opened[step % 8, row], "the entry that is about to be overwritten"


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


@dataclass
class SlotTables:
    """One row's 16 slots under the published update, slot by slot (method, section 4.3): no closed form.

    Attributes:
        opened: slots that are attended.
        position: of each slot.
        write: the slot that the step writes.
        written: slot -> the step whose entry it holds.
    """

    opened: int
    write: int = 8
    position: list[int] = field(default_factory=lambda: list(range(16)))
    written: dict[int, int] = field(default_factory=dict)

    def attended(self, step: int) -> tuple[dict[int, int], int]:
        """Writes; then step that a rolling entry is of -> its position, and the query's position."""
        self.written[self.write] = step
        seen = {self.written[slot]: self.position[slot] for slot in range(8, self.opened)}
        return seen, self.position[self.write]

    def update(self) -> None:
        """The next free slot while there is one; then the oldest, whose position turns to the last."""
        if self.opened < 16:
            self.write = self.opened
        else:
            self.position[8:] = [self.position[15], *self.position[8:15]]
            self.write = self.position.index(15)
        self.opened = min(self.opened + 1, 16)


def published(rows: int, steps: int) -> Iterator[tuple[int, int, tuple[dict[int, int], int]]]:
    """Step, row and what it attends: all rows start at once, the first with a slot open."""
    tables = [SlotTables(opened=9 if row == 0 else 8, write=9 if row == 1 else 8) for row in range(rows)]
    for step in range(steps):
        for row, table in enumerate(tables):
            yield step, row, table.attended(step)
            table.update()


def corrected(rows: int, steps: int) -> Iterator[tuple[int, int, tuple[dict[int, int], int]]]:
    """Each row starts, as the first one does, at the step at which the first frame reaches it."""
    tables = [SlotTables(opened=9) for _ in range(rows)]
    for step in range(steps):
        for row, table in enumerate(tables):
            if step >= row:
                yield step, row, table.attended(step)
                table.update()


STEPS = 45
"""Five times round the ring, and the start."""


@pytest.mark.parametrize(
    ("official", "rows"), [(True, 2), (True, 3), (True, 4), (False, 1), (False, 2), (False, 3), (False, 4)]
)
def test_closed_form_is_the_update_played_slot_by_slot(official: bool, rows: int) -> None:
    """Which steps' entries every row attends, at which positions, and from which position it asks."""
    compared = 0
    for step, row, (seen, query) in (published if official else corrected)(rows, STEPS):
        clock = ring_clock(torch.tensor([step]), rows, official_startup=official)
        assert window(step, row, rows, official=official) == seen, (step, row)
        assert 8 + int(clock.position[8, row]) == query, (step, row)
        compared += 1
    assert compared == rows * STEPS - (0 if official else rows * (rows - 1) // 2)


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_a_row_without_a_frame_attends_no_rolling_entry(rows: int) -> None:
    for row in range(1, rows):
        for step in range(row):
            assert window(step, row, rows, official=False) == {}


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

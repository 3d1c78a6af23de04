"""The noise of a stream: a table for new frames and one for each step between rows, none like another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.micro_live2diff import SIZE, micro_model, micro_options
from torch import Tensor
from v2v_export.clip import moving_frames
from v2v_export.systems.live2diff.literal import LiteralStream
from v2v_export.systems.live2diff.sampling import advanced, noisy

ENTRIES = 10
START = np.arange(ENTRIES, dtype=np.float32)
STEP = 100 * np.arange(1, 4, dtype=np.float32)[:, None] + START
"""Entry k of the new frames' table holds k; of the table from row r to r + 1, 100 (r + 1) + k."""

TAKEN = {
    "warm-up": [0, 1, 2, 3, 4, 5, 6, 7],
    "frame 8": [8],
    "frame 9": [9],
    "frame 10": [0],
    "frame 11": [1],
}
"""The rule, ``frame_index % noise_frames``, by hand; the frames of the warm-up are counted."""


def constant(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entries [..., 4, h, w] that hold one number each."""
    shape = (4, SIZE.height // 8, SIZE.width // 8)
    return np.broadcast_to(values[..., None, None, None], (*values.shape, *shape)).copy()


@pytest.mark.parametrize("seed", [0, 2])
def test_no_entry_of_any_table_is_like_another(seed: int) -> None:
    rows = 4
    tables = micro_model(micro_options(rows, seed=seed, noise_frames=ENTRIES)).tables()
    every = np.stack([tables["noise_start"], *tables["noise_step"]])
    assert every.shape[:2] == (rows, ENTRIES)
    for flat in (every.reshape(rows, -1), every.reshape(rows * ENTRIES, -1)):
        # Of n independent pairs of normal numbers the correlation deviates by 1 / sqrt(n).
        apart = np.corrcoef(flat) - np.eye(len(flat))
        assert np.abs(apart).max() < 5 / math.sqrt(flat.shape[1])


@torch.no_grad()
def test_the_literal_stream_takes_the_entry_of_its_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    model = micro_model(micro_options(4, noise_frames=ENTRIES))
    tables = {**model.tables(), "noise_start": constant(START), "noise_step": constant(STEP)}
    literal = LiteralStream(model.sources, model.conditioning, model.options, tables)
    taken: list[list[list[float]]] = []

    def played(latents: Tensor, depths: Tensor, embeds: Tensor, start: Tensor, between: Any) -> Tensor:
        assert all(len(noise) == len(latents) for noise in (start, *between))
        taken.append([noise[:, 0, 0, 0].tolist() for noise in (start, *between)])
        return torch.zeros_like(latents)

    for name in ("warmup", "step"):
        monkeypatch.setattr(literal.loop, name, played)
    frames = moving_frames(12, SIZE.height, SIZE.width)
    for chunk in (frames[:8], *frames[8:, None]):
        literal.step(chunk)
    assert taken == [[[row + k for k in entries] for row in (0, 100, 200, 300)] for entries in TAKEN.values()]


@pytest.mark.parametrize("when", TAKEN)
def test_the_graphs_take_the_entry_of_their_frame(when: str) -> None:
    entries = TAKEN[when]
    first = 0 if when == "warm-up" else int(when.removeprefix("frame "))
    nothing = torch.zeros(len(entries), 4, 8, 8)
    start, between = (torch.from_numpy(constant(values)) for values in (START, STEP))
    index = torch.tensor([first])
    found = noisy(nothing, torch.tensor([0.0, 1.0]), start, index)
    assert found[:, 0, 0, 0].tolist() == entries
    only_noise = torch.tensor([[0.0, 0.0, 1.0]])
    if when == "warm-up":
        # One call for each row, which is given its own table.
        for row in range(3):
            given = (nothing, nothing, only_noise, between[row : row + 1], index, 8)
            assert advanced(*given)[:, 0, 0, 0].tolist() == [100 * (row + 1) + k for k in entries]
    else:
        # All rows in one call; the last one ends clean.
        rows = torch.zeros(4, 4, 8, 8)
        found = advanced(rows, rows, only_noise.repeat(4, 1), between, index, 1)
        assert found[:, 0, 0, 0].tolist() == [100 + entries[0], 200 + entries[0], 300 + entries[0], 0]

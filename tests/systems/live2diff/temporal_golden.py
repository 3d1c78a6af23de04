"""The golden attention as a module, and its caches in the order of ours."""

from __future__ import annotations

import torch
from golden_data import golden_tensors
from torch import Tensor
from v2v_export.systems.live2diff.temporal import TemporalAttention, without_positions

RULES = {"corrected": "corrected.", "official": ""}
"""Start-up rule -> prefix of its tensors."""


def golden_attention() -> TemporalAttention:
    """With the published weights' names, its table of positions checked."""
    given = golden_tensors("live2diff", "attention")
    state = {
        name.removeprefix("weights."): item for name, item in given.items() if name.startswith("weights.")
    }
    kept = without_positions(state)
    module = TemporalAttention(kept["to_q.weight"].shape[0])
    module.load_state_dict(kept)
    return module.eval()


def published_ring(cache: Tensor, steps: int) -> Tensor:
    """[T, 2, HW, 8, C] of published rolling slots after ``steps`` steps -> ours, [8, T, HW, 2, C].

    Theirs: row r keeps its n-th frame, n = step - r, in slot n mod 8 (T = 2, both rules). Ours: step mod 8.
    """
    rows = cache.shape[0]
    ours = torch.zeros(8, rows, cache.shape[2], 2, cache.shape[4])
    for step in range(steps - 8, steps):
        for row in range(rows):
            ours[step % 8, row] = cache[row, :, :, (step - row) % 8].transpose(0, 1)
    return ours

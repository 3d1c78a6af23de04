"""``v2v::WindowAttention`` in PyTorch, twice: as it is defined, and with few operators.

Both take any float type, and may run in float64 to test an identity without rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

ENTRIES = 8


def literal(query: Tensor, own: Tensor, sinks: Tensor, ring: Tensor, moves: Tensor, opened: Tensor) -> Tensor:
    """The definition, row by row: closed tokens are left out of the window.

    Args:
        query: ``[T, P, heads, d]``, scaled already.
        own: key and value of the new token, ``[T, P, 2, heads, d]``.
        sinks: ``[T, 8, P, 2, heads, d]``.
        ring: ``[8, T, P, 2, heads, d]``.
        moves: what positions add to ring entries and the own token, ``[9, T, 2, heads, d]``.
        opened: bool ``[9, T]``, which of these the row attends.

    Returns:
        ``[T, P, heads, d]``.
    """
    rows = []
    for row in range(query.shape[0]):
        tokens = list(sinks[row])
        for entry in range(ENTRIES):
            if opened[entry, row]:
                tokens.append(ring[entry, row] + moves[entry, row])
        if opened[ENTRIES, row]:
            tokens.append(own[row] + moves[ENTRIES, row])
        window = torch.stack(tokens)
        scores = torch.einsum("phd,jphd->jph", query[row], window[:, :, 0])
        if opened[ENTRIES, row]:
            broken = ~window[-1, :, 0].isfinite().all(-1)
            scores[-1] = scores[-1].masked_fill(broken, torch.nan)
        weights = scores.softmax(0)
        rows.append(torch.einsum("jph,jphd->phd", weights, window[:, :, 1]))
    return torch.stack(rows)


def stacked(query: Tensor, own: Tensor, sinks: Tensor, ring: Tensor, moves: Tensor, opened: Tensor) -> Tensor:
    """The same over all rows at once; equal to ``literal`` up to rounding.

    Products have the tensors' type; sums and softmax are float32 at least.
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    rolling = torch.cat((ring, own[None])) + moves[:, :, None]
    flags = opened[:, :, None, None, None]
    # Selected before any arithmetic: NaN times zero is NaN.
    rolling = torch.where(flags[..., None], rolling, torch.zeros((), dtype=rolling.dtype))
    window = torch.cat((sinks.transpose(0, 1), rolling))
    scores = (query * window[:, :, :, 0]).to(wide).sum(-1, keepdim=True)
    # With an infinity in the key, whatever its signs, the score is infinite or NaN.
    scores[-1] = scores[-1].masked_fill(~scores[-1].isfinite(), torch.nan)
    scores[ENTRIES:] = scores[ENTRIES:].masked_fill(~flags, -torch.inf)
    return (scores.softmax(0) * window[:, :, :, 1].to(wide)).sum(0).to(query.dtype)

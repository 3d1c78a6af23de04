"""The sampler's arithmetic in the graphs: affine updates from tables, in float32 (method, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor


def noisy(latent: Tensor, start: Tensor, table: Tensor, frame_index: Tensor) -> Tensor:
    """``s0 latent + s1 noise`` for G frames from ``frame_index`` on, float32 [G, 4, h, w].

    Args:
        start: float32 [2], (s0, s1).
        table: float32 [K, 4, h, w], the noise of frame f at f % K.
        frame_index: int64 [1], of the first frame.
    """
    noise = _entries(table, 0, frame_index, latent.shape[0])
    return start[0] * latent.float() + start[1] * noise


def advanced(
    x: Tensor, eps: Tensor, coefficients: Tensor, table: Tensor | None, frame_index: Tensor, count: int
) -> Tensor:
    """``a x + b eps + c z``, row by row: the next latents, and the clean one where c is 0, float32.

    Args:
        x, eps: [B, 4, h, w], float32 and any float: rows with coefficients each, or frames of one row.
        coefficients: float32 [B or 1, 3].
        table: float32 [R, K, 4, h, w] noise of R rows; entry ``frame_index % K`` of each, or with one row's
            coefficients the entries of ``count`` frames. None where no row adds noise.
        count: frames.
    """
    a, b, c = (column.reshape(-1, 1, 1, 1) for column in coefficients.unbind(1))
    y = a * x + b * eps.float()
    if table is not None:
        z = _entries(table, 1, frame_index, count).flatten(0, 1)
        rows = z.shape[0]
        noise = c[:rows] * z
        # The last row of a batch of rows ends clean: it has no noise entry.
        y = y + noise if rows == x.shape[0] else torch.cat((y[:rows] + noise, y[rows:]))
    return y


def _entries(table: Tensor, axis: int, frame_index: Tensor, count: int) -> Tensor:
    """Entries ``frame_index % K`` and following of a table that wraps, along ``axis``."""
    index = frame_index
    if count > 1:
        index = index + torch.arange(count, dtype=torch.int64, device=table.device)
    return table.index_select(axis, index % table.shape[axis])

"""Temporal attention literally: every key and value is computed again, in every step, from stored features.

Nothing is cached but what an attention was given: the normed features x of the warm-up frames and of past
steps. Positions are added before the projections, softmax(W_q (x + pe) . W_k (x + pe)) W_v (x + pe), as the
paper's equations have it (method, sections 1.3 and 1.4), and rows are taken one at a time. Slow on purpose.
Weights are read under their published names; what is exported computes nothing here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from v2v_export.systems.live2diff.temporal_state import HEADS, RING, SINKS

if TYPE_CHECKING:
    from v2v_export.systems.live2diff.temporal import TemporalAttention, TemporalTransformer


class LiteralAttention:
    """One attention and the features that it was given.

    Args:
        attention: its weights.
        rows: T.
        official_startup: by the published rule rows from the second on count frames from step 1 (method,
            section 4.3); by the corrected one, row r counts from step r.
    """

    def __init__(self, attention: TemporalAttention, rows: int, *, official_startup: bool) -> None:
        self.weights: Any = attention
        self.first = [min(row, 1) if official_startup else row for row in range(rows)]
        self.official_startup = official_startup
        self.pe = positions(attention.to_q.weight.shape[1]).to(attention.to_q.weight.dtype)
        self.warm: list[Tensor | None] = [None] * rows
        self.past: list[deque[Tensor]] = [deque(maxlen=RING) for _ in range(rows)]

    def forget(self) -> None:
        """Back to before the warm-up."""
        self.warm = [None] * len(self.warm)
        self.forget_stream()

    def forget_stream(self) -> None:
        """Back to before the first streaming step."""
        for row in self.past:
            row.clear()

    def warmup(self, row: int, x: Tensor) -> Tensor:
        """The eight frames of one row [8, HW, C] attend each other; they become the row's sinks."""
        self.warm[row] = x
        tokens = x + self.pe[:SINKS, None]
        return self._attend(tokens, tokens)

    def step(self, number: int, x: Tensor) -> Tensor:
        """Step ``number``: x [T, HW, C], one frame of each row."""
        return torch.cat([self._row(number, row, x[row]) for row in range(x.shape[0])])

    def _row(self, number: int, row: int, x: Tensor) -> Tensor:
        self.past[row].append(x)
        frames = number - self.first[row] + 1
        seen = list(self.past[row])[-frames:] if frames > 0 else []
        window = [*self._sinks(row), *seen]
        keys = torch.stack(window) + self.pe[: len(window), None]
        position = len(window) - 1 if seen else SINKS
        if not seen and self.official_startup and row == 1:
            position += 1
        return self._attend((x + self.pe[position])[None], keys)

    def _attend(self, queries: Tensor, keys: Tensor) -> Tensor:
        """[Q, HW, C] on [K, HW, C]: one attention over time at every place, for each head."""
        q, k, v = (
            self._heads(to(x))
            for to, x in (
                (self.weights.to_q, queries),
                (self.weights.to_k, keys),
                (self.weights.to_v, keys),
            )
        )
        scores = torch.einsum("qphd,kphd->phqk", q, k) / q.shape[-1] ** 0.5
        mixed = torch.einsum("phqk,kphd->qphd", torch.softmax(scores, dim=-1), v)
        result: Tensor = self.weights.to_out[0](mixed.flatten(2))
        return result

    def _sinks(self, row: int) -> Tensor:
        warm = self.warm[row]
        assert warm is not None, "warm up first"
        return warm

    def sinks(self) -> Tensor:
        """Keys and values of the warm-up frames at their positions, [T, 8, HW, 2, heads, d]."""
        tokens = torch.stack([self._sinks(row) for row in range(len(self.warm))])
        return self._cached(tokens + self.pe[:SINKS, None])

    def rings(self, steps: int) -> Tensor:
        """Keys and values of the last steps, [8, T, HW, 2, heads, d], after ``steps`` of them.

        Step s stands at s mod 8, without its position; zeros where there was none yet.
        """
        rows, (places, channels) = len(self.warm), self._sinks(0).shape[1:]
        tokens = self.pe.new_zeros(RING, rows, places, channels)
        for row, past in enumerate(self.past):
            for back, x in enumerate(reversed(past), 1):
                tokens[(steps - back) % RING, row] = x
        return self._cached(tokens)

    def _cached(self, tokens: Tensor) -> Tensor:
        return torch.stack([self._heads(to(tokens)) for to in (self.weights.to_k, self.weights.to_v)], dim=-3)

    @staticmethod
    def _heads(x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:-1], HEADS, -1)


def positions(channels: int) -> Tensor:
    """pe[p, 2i] = sin(p 10000^(-2i / C)), pe[p, 2i + 1] = cos of the same (section 1.4), for a window's p.

    [16, C], rounded to float32 as checkpoints hold it.
    """
    rates = [10000.0 ** (-2 * pair / channels) for pair in range(channels // 2)]
    rows = [
        [of(place * rate) for rate in rates for of in (math.sin, math.cos)] for place in range(SINKS + RING)
    ]
    return torch.tensor(rows, dtype=torch.float32)


class LiteralModule:
    """One temporal module with its two attentions: [N, C, h, w] to the same."""

    def __init__(self, transformer: TemporalTransformer, rows: int, *, official_startup: bool) -> None:
        self.transformer = transformer
        blocks: Any = transformer.transformer_blocks
        self.block = blocks[0]
        self.attentions = [
            LiteralAttention(item, rows, official_startup=official_startup)
            for item in self.block.attention_blocks
        ]

    def warmup(self, row: int, x: Tensor) -> Tensor:
        """x [8, C, h, w]."""
        return self._run(x, [partial(of.warmup, row) for of in self.attentions])

    def step(self, number: int, x: Tensor) -> Tensor:
        """x [T, C, h, w]."""
        return self._run(x, [partial(of.step, number) for of in self.attentions])

    def _run(self, x: Tensor, attend: list[Callable[[Tensor], Tensor]]) -> Tensor:
        frames, _, height, width = x.shape
        y = self.transformer.norm(x).permute(0, 2, 3, 1).reshape(frames, height * width, -1)
        y = self.transformer.proj_in(y)
        for norm, attention in zip(self.block.norms, attend, strict=True):
            y = y + attention(norm(y))
        y = y + self.block.ff(self.block.ff_norm(y))
        y = self.transformer.proj_out(y).reshape(frames, height, width, -1).permute(0, 3, 1, 2)
        result: Tensor = x + y
        return result

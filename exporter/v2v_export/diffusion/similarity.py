"""StreamDiffusion's similarity filter (Kodaira et al., 2023, section 3.5) as a graph: frames that hardly
differ from the last one that was processed are skipped at random, the likelier the more alike they are.

With the cosine c of the two pictures in [-1, 1] and threshold eta, the chance to skip is
``max(0, 1 - (1 - c) / (1 - eta))``, at most ``max_skip + 1`` times in a row. As published, only a frame that
this limit forces sets the count of skips back, and the first frame draws nothing.

The draws are a constant table that the filter walks with a counter of its own: ``step`` and ``frame_index``
stand still while frames are skipped, and would give every repeated frame the same draw.

A cosine knows no brightness: two plain frames, one dark and one less dark, count as equal, so a fade of a
plain picture is followed in jumps of at most ``max_skip + 1`` frames. No frame of levels is the zero vector,
since no level is 127.5; black, white and grey ones are as good as any.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_EPS = 1e-6
"""Least norm: pictures of floats may be zero, and then are like nothing."""


class SimilarityRule(nn.Module):
    """Whether to skip, from two pictures and the filter's memory.

    picture, reference float32 [1, 3, H, W]; seen, skips, step, max_skip int64 [1]; draws float32 [K];
    threshold float32 [1] -> skip bool [1], skips int64 [1].

    Args:
        warm: steps that run before the first skip: as many as the stream needs until a frame has come out.
    """

    def __init__(self, warm: int = 1) -> None:
        super().__init__()
        self.warm = warm

    def forward(
        self,
        picture: Tensor,
        reference: Tensor,
        seen: Tensor,
        skips: Tensor,
        step: Tensor,
        draws: Tensor,
        threshold: Tensor,
        max_skip: Tensor,
    ) -> tuple[Tensor, Tensor]:
        norms = [_total(item.square()).sqrt().clamp(min=_EPS) for item in (picture, reference)]
        cosine = (_total(picture * reference) / (norms[0] * norms[1])).reshape(1)
        # At threshold 1 nothing is alike enough, as published; the division would be by zero.
        room = torch.where(threshold < 1, 1 - threshold, torch.ones_like(threshold))
        chance = torch.where(threshold < 1, 1 - (1 - cosine) / room, torch.zeros_like(cosine))
        draw = draws[seen % draws.shape[0]]
        alike = (chance >= draw) & (seen > 0) & (step >= self.warm)
        skip = alike & (skips <= max_skip)
        forced = alike & (skips > max_skip)
        counted = skips + skip.to(torch.int64)
        return skip, torch.where(forced, torch.zeros_like(counted), counted)


def _total(values: Tensor) -> Tensor:
    """The sum, row by row first: one long float32 sum would lose what tells two frames apart."""
    return values.sum(-1).sum()


class SimilarityFilter(nn.Module):
    """frame, reference, seen, skips, step, draws, threshold, max_skip -> skip, and the next three.

    frame, reference and new_reference are uint8 [1, H, W, 3]; the reference is the last frame that was
    processed. The others are as in ``SimilarityRule``; new_seen and new_skips int64 [1].
    """

    def __init__(self, warm: int = 1) -> None:
        super().__init__()
        self.rule = SimilarityRule(warm)

    def forward(
        self,
        frame: Tensor,
        reference: Tensor,
        seen: Tensor,
        skips: Tensor,
        step: Tensor,
        draws: Tensor,
        threshold: Tensor,
        max_skip: Tensor,
    ) -> tuple[Tensor, ...]:
        now, before = frame.float(), reference.float()
        skip, counted = self.rule(
            now / 127.5 - 1, before / 127.5 - 1, seen, skips, step, draws, threshold, max_skip
        )
        kept = torch.where(skip.reshape(1, 1, 1, 1), before, now)
        # The casts to levels come last: engines take them only at an edge.
        return skip, kept.to(torch.uint8), seen + 1, counted


class Keep(nn.Module):
    """out -> shown, both uint8 [1, H, W, 3]: the frame that a skipped one shows again."""

    def forward(self, out: Tensor) -> Tensor:
        return out.float().to(torch.uint8)

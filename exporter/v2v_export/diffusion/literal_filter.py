"""The similarity filter as it was published, with its draws from a table: the judge of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from v2v_export.diffusion.similarity_pieces import FILTER_FILE, FilterOptions, FilterPieces


class LiteralFilter:
    """Says of each frame whether it is skipped.

    Args:
        draws: uniform numbers in [0, 1), one per frame, from the start again at their end.
        threshold: eta, the cosine at which skipping begins.
        max_skip: a frame is forced after ``max_skip + 1`` skips in a row, and that alone resets the count.
        warm: frames at the start that are never skipped.
    """

    def __init__(self, draws: NDArray[np.float32], threshold: float, max_skip: int, warm: int) -> None:
        self.draws, self.threshold, self.max_skip, self.warm = draws, threshold, max_skip, warm
        self.reset()

    def reset(self) -> None:
        """Back to before the first frame."""
        self.reference: NDArray[np.uint8] | None = None
        self.seen = self.skips = self.processed = 0

    def skip(self, frame: NDArray[np.uint8]) -> bool:
        """Takes the next frame, uint8 [H, W, 3]."""
        draw = float(self.draws[self.seen % len(self.draws)])
        alike = self.reference is not None and self.processed >= self.warm and self._chance(frame) >= draw
        self.seen += 1
        if alike and self.skips <= self.max_skip:
            self.skips += 1
            return True
        if alike:
            self.skips = 0
        self.reference = frame.copy()
        self.processed += 1
        return False

    def slots(self, shown: NDArray[np.uint8] | None) -> dict[str, NDArray[Any]]:
        """What the graph's memory must hold, and ``shown``, the last picture [H, W, 3]; {} before a frame."""
        if self.reference is None:
            return {}
        kept = {} if shown is None else {"shown": shown[None]}
        return {
            "similarity_reference": self.reference[None],
            "similarity_seen": np.array([self.seen]),
            "similarity_skips": np.array([self.skips]),
            **kept,
        }

    def _chance(self, frame: NDArray[np.uint8]) -> float:
        """max(0, 1 - (1 - cosine) / (1 - eta)) with the last processed frame; 0 at eta = 1."""
        assert self.reference is not None
        now, before = (item.astype(np.float64).ravel() / 127.5 - 1 for item in (frame, self.reference))
        cosine = float(now @ before / (np.linalg.norm(now) * np.linalg.norm(before)))
        if self.threshold >= 1:
            return 0.0
        return max(0.0, 1 - (1 - cosine) / (1 - self.threshold))


def literal_filter(options: FilterOptions, pieces: FilterPieces | None, rows: int) -> LiteralFilter | None:
    """The judge of ``chosen_filter``'s pieces, with their draws; None where the options leave it off."""
    if pieces is None:
        return None
    draws = pieces.blobs[FILTER_FILE]["similarity_draws"]
    return LiteralFilter(draws, options.similarity_threshold, options.max_skip, warm=rows)

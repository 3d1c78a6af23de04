"""The seeds that torch's generator takes are good for the filter's draws too."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_export.diffusion.similarity_pieces import chosen_filter
from v2v_export.system import FrameSize
from v2v_export.systems.stream_diffusion.options import StreamDiffusionOptions


def test_a_filter_of_a_negative_seed() -> None:
    minus, plus = (_draws(seed) for seed in (-1, 1))
    assert not np.array_equal(minus, plus)


def _draws(seed: int) -> NDArray[Any]:
    options = StreamDiffusionOptions(seed=seed, similarity=True)
    pieces = chosen_filter(options, FrameSize(64, 64), options.rows)
    assert pieces is not None
    return pieces.blobs["blobs/similarity.safetensors"]["similarity_draws"]

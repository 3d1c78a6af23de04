"""The clip that both sides of a comparison play: one and the same.

What a frame takes may depend on what it shows: a filter skips frames that are like the last one. Two clips
would be a difference between the sides that neither program makes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.bundle import Bundle

from v2v_export.clip import clip_of

MOVING_FRAMES = 8
"""Frames of the clip where neither side has any of its own."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames and where they come from.

    Attributes:
        name: in words.
        frames: uint8 [N, H, W, 3], N above 0, played round and round.
    """

    name: str
    frames: NDArray[np.uint8]

    @cached_property
    def sha256(self) -> str:
        """Of the frames' bytes."""
        return hashlib.sha256(self.frames.tobytes()).hexdigest()

    def __str__(self) -> str:
        return f"{self.name}, {len(self.frames)} frames, sha256 {self.sha256[:12]}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, without the frames."""
        return {"name": self.name, "frames": len(self.frames), "sha256": self.sha256}


def shared_clip(base: Bundle, head: Bundle) -> Clip:
    """What both play where no clip is given.

    The base's self-test frames: a head with new ones, or without, plays what the base plays. The head's where
    the base has none, and a moving picture where neither has any.
    """
    for name, bundle in (("base", base), ("head", head)):
        if bundle.manifest.selftest is not None:
            return Clip(f"the {name}'s self-test frames", bundle.blob(bundle.manifest.selftest.input))
    return Clip("a moving picture", clip_of(base.manifest.program, MOVING_FRAMES))

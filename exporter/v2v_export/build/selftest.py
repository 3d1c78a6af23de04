"""The self-test in a bundle: a clip, and what the PyTorch reference makes of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.manifest.model import Program

from v2v_export.clip import gathers
from v2v_export.errors import BuildError
from v2v_export.system import Reference

FILE = "blobs/selftest.safetensors"
"""Holds the tensors ``input`` and ``output``."""


def play(
    reference: Reference,
    program: Program,
    frames: NDArray[np.uint8],
    step: Callable[[int], None] = lambda done: None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Runs the reference over the clip, whole steps only.

    Returns:
        The frames taken, uint8 [N, H, W, 3], and the frames emitted, uint8 [M, H, W, 3].

    Raises:
        BuildError: the clip is too short for one emitted frame (V2V-E7020), or the reference emits something
            other than pictures of the output's size (V2V-E7021).
    """
    (size,) = program.outputs.values()
    wanted = (size.height, size.width, 3)
    reference.reset()
    emitted: list[NDArray[np.uint8]] = []
    taken = 0
    for gather in gathers(program):
        if taken + gather > len(frames):
            break
        for frame in reference.step(frames[taken : taken + gather]):
            if frame.rgb8.dtype != np.uint8 or frame.rgb8.shape != wanted:
                raise BuildError(
                    "V2V-E7021",
                    f"the reference emitted {frame.rgb8.dtype} {list(frame.rgb8.shape)}",
                    f"uint8 {list(wanted)}",
                    "correct the system's reference or the size of its program's output",
                )
            emitted.append(frame.rgb8)
        taken += gather
        step(taken)
    if not emitted:
        raise BuildError(
            "V2V-E7020",
            f"{len(frames)} frames of self-test bring nothing out of this program",
            "enough frames for its first output",
            "raise frames in the recipe's [verify]",
        )
    return frames[:taken], np.stack(emitted)

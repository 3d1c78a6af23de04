"""Plays the frames that a bundle carries and compares what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from v2v_runtime.errors import StreamError

if TYPE_CHECKING:
    from v2v_runtime.stream import Stream


@dataclass(frozen=True, slots=True)
class SelfTestReport:
    """What a self-test found.

    Attributes:
        frames: output frames compared.
        expected: output frames that the bundle has.
        max_difference: largest difference, in uint8 levels.
        worst_frame: index of the first output frame with that difference; -1 where none was compared.
        tolerance: the largest difference allowed.
    """

    frames: int
    expected: int
    max_difference: int
    worst_frame: int
    tolerance: int

    @property
    def passed(self) -> bool:
        """Every expected frame came out, and none leaves the tolerance."""
        return self.frames == self.expected and self.max_difference <= self.tolerance


def selftest(stream: Stream) -> SelfTestReport:
    """See ``Stream.selftest``.

    The frames are pushed one by one from a reset, with every param at its default; if fewer frames came out
    by then than the bundle expects, the stream is flushed.
    """
    session = stream.session
    before = stream.snapshot()  # first, because it may not come now, as no other call may
    test = session.manifest.selftest
    if test is None:
        raise StreamError(
            "V2V-E3060", "the bundle carries no frames to test itself with", "", "build it with v2v-export"
        )
    given = session.blob("uint8", (None, *stream.input_size, 3), test.input)
    expected = session.blob("uint8", (None, *stream.output_size, 3), test.output)
    try:
        stream.reset(params=True)
        made = [frame.rgb8 for rgb in given for frame in stream.push(rgb)]
        if len(made) < len(expected):
            made += [frame.rgb8 for frame in stream.flush()]
    finally:
        stream.restore(before)
    differences = [
        int(np.abs(a.astype(np.int16) - b.astype(np.int16)).max())
        for a, b in zip(made, expected, strict=False)
    ]
    worst = max(differences, default=0)
    return SelfTestReport(
        frames=len(made),
        expected=len(expected),
        max_difference=worst,
        worst_frame=differences.index(worst) if differences else -1,
        tolerance=test.tolerance[session.float_type],
    )

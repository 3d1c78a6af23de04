"""A failed step can be tried again: what a step overwrites in place must not decide what the step makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.errors import StreamError
from v2v_runtime.stream import Stream

from v2v_export.verify.report import Miss


def check_poison(
    stream: Stream, clip: NDArray[np.uint8], progress: Callable[[str], None]
) -> tuple[int, Miss | None]:
    """Plays each step with the entries that it overwrites in place set to NaN, and without: bit by bit equal.

    Returns:
        How many steps had such entries, and the first one that could tell.
    """
    phases = {phase.name: phase for phase in stream.session.program.phases}
    in_place = any(
        stream.session.in_place(phase.name, call) for phase in phases.values() for call in phase.calls
    )
    stream.reset()
    poisoned_steps = 0
    for index, frame in enumerate(clip if in_place else clip[:0]):
        progress(f"poisoned step {index + 1}")
        before = stream.snapshot()
        plain = _step(stream, frame)
        if len(before.staged) + 1 < phases[before.phase].gather:
            continue  # this frame was staged: no step ran
        stream.restore(before)
        calls = stream.poison_in_place()
        where = f"frame {index}, in-place calls {', '.join(calls)}"
        try:
            poisoned = _step(stream, frame)
        except StreamError as error:
            return poisoned_steps, Miss("poison", "", where, str(error))
        for name, value in plain.items():
            if value.tobytes() != poisoned[name].tobytes():
                what = f"{name} depends on an entry that this step overwrites in place"
                return poisoned_steps, Miss("poison", "", where, what)
        poisoned_steps += bool(calls)
    stream.reset()
    return poisoned_steps, None


def _step(stream: Stream, frame: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Everything that one push makes: pictures and slots."""
    pictures = [output.rgb8 for output in stream.push(frame)]
    return {**{f"picture {i}": p for i, p in enumerate(pictures)}, **stream.slots()}

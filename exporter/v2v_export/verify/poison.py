"""A failed step can be tried again: what a step overwrites in place must not decide what the step makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.updates import updated_views
from v2v_runtime.snapshot import Snapshot
from v2v_runtime.stream import Stream

from v2v_export.verify.report import Miss


def check_poison(
    stream: Stream, clip: NDArray[np.uint8], progress: Callable[[str], None]
) -> tuple[int, Miss | None]:
    """Plays each step with the entries that it overwrites in place set to NaN, and without: bit by bit equal.

    Of what a step updates in place, the entries that it rewrites are those that are others afterwards.

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
        before, ran = stream.snapshot(), stream.counters.steps
        plain = _step(stream, frame)
        if stream.counters.steps == ran:
            continue  # this frame was staged or skipped: no step ran to its end, and nothing was overwritten
        stream.restore(replace(before, slots={**before.slots, **_rewritten(stream, before, plain)}))
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


def _rewritten(
    stream: Stream, before: Snapshot, after: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Slots that the last step, from ``before``, updated in place: NaN (in integers 255) where it changed
    them."""
    (phase,) = (phase for phase in stream.session.program.phases if phase.name == stream.phase)
    slots: dict[str, NDArray[Any]] = {}
    for call in phase.calls:
        for view in updated_views(call, stream.session.in_place(phase.name, call)):
            slot = slots.setdefault(view.name, before.slots[view.name].copy())
            part = slice(view.start, view.start + view.length)
            old, new = slot[part], after[view.name][part]
            changed = (_bytes(old) != _bytes(new)).any(-1)
            old[changed] = np.nan if old.dtype.kind == "f" else 0xFF
    return slots


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of each value: one more axis."""
    whole = np.ascontiguousarray(values)
    return whole.view(np.uint8).reshape(*values.shape, values.itemsize)


def _step(stream: Stream, frame: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Everything that one push makes: pictures and slots."""
    pictures = [output.rgb8 for output in stream.push(frame)]
    return {**{f"picture {i}": p for i, p in enumerate(pictures)}, **stream.slots()}

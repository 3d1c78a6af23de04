"""What a stream goes on remembering after a param has changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from v2v_runtime.manifest.model import Binding, Phase, Program


def remembering(program: Program, params: Collection[str]) -> tuple[Phase, ...]:
    """The finite phases that have to be entered again for a change of ``params`` to reach everything.

    Such a phase computes slots from one of them, directly or through other calls, that the phase which plays
    for ever reads and does not write: a warm-up's keys and values, say, which a stream attends to its end.
    """
    last = program.phases[-1]
    read = {name for call in last.calls for name in _names(call.inputs.values())}
    rewritten = {name for call in last.calls for name in _names(call.outputs.values())}
    lasting = (read - rewritten) & set(program.slots)
    return tuple(phase for phase in program.phases[:-1] if lasting & _made_from(phase, params))


def frames_until(program: Program, phase: Phase) -> int:
    """The frames that a stream takes from its first one to the end of a finite phase."""
    taken = 0
    for each in program.phases:
        assert each.steps != "forever"
        taken += each.steps * each.gather
        if each is phase:
            break
    return taken


def _made_from(phase: Phase, params: Collection[str]) -> set[str]:
    """Names that the phase's calls compute from ``params``, over all of its steps."""
    found: set[str] = set()
    before = -1
    while len(found) > before:
        before = len(found)
        for call in phase.calls:
            if any(name in found or name in params for name in _names(call.inputs.values())):
                found.update(_names(call.outputs.values()))
    return found


def _names(bindings: Iterable[Binding | None]) -> Iterator[str]:
    for binding in bindings:
        if binding is not None:
            yield binding if isinstance(binding, str) else binding.name

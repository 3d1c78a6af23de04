"""What failed steps may have left half written: slots that their calls overwrite in place.

A step that fails leaves all other state as it was. Of what it overwrites in place it does not depend
(``Stream.poison_in_place``), so it can be tried again; a phase that reads those slots must not be entered
before it has succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from v2v_runtime.errors import StreamError
from v2v_runtime.manifest.model import Call, Phase, View


class Torn:
    """The slots, by the phase whose step failed."""

    def __init__(self) -> None:
        self._slots: dict[str, tuple[str, ...]] = {}

    def fail(
        self, phase: Phase, begun: Collection[str], in_place: Callable[[str, Call], Iterable[str]]
    ) -> None:
        """A step of ``phase`` failed.

        Args:
            begun: names of its calls that ran, or had begun to.
            in_place: phase and call -> the ports that write in place.
        """
        calls = [call for call in phase.calls if call.name in begun]
        bindings = (call.outputs[port] for call in calls for port in in_place(phase.name, call))
        names = (item.name if isinstance(item, View) else item for item in bindings)
        known = self._slots.get(phase.name, ())
        torn = tuple(dict.fromkeys((*known, *(name for name in names if name is not None))))
        if torn:
            self._slots[phase.name] = torn

    def mend(self, phase: Phase) -> None:
        """A step of ``phase`` came to its end."""
        self._slots.pop(phase.name, None)

    def refuse(self, phases: Iterable[Phase]) -> None:
        """Raises V2V-E3032 if a phase would read what is torn.

        Args:
            phases: the one that is to be entered and those that follow it.
        """
        torn = dict(self._slots)
        for phase in phases:
            torn.pop(phase.name, None)  # it is the one that was left, and tries again
            read = {
                binding.name if isinstance(binding, View) else binding
                for call in phase.calls
                for binding in call.inputs.values()
            }
            for failed, slots in torn.items():
                found = sorted(name for name in slots if name in read and name not in phase.resets)
                if found:
                    more = f" and {len(found) - 1} more slots" if len(found) > 1 else ""
                    raise StreamError(
                        "V2V-E3032",
                        f"phase {phase.name!r} reads {found[0]}{more}, of which a step of phase {failed!r} "
                        "had overwritten a part when it failed",
                        f"a step of phase {failed!r} that comes to its end first",
                        f"enter {failed!r} again and push its frames, or reset",
                    )
            torn = {name: tuple(s for s in slots if s not in phase.resets) for name, slots in torn.items()}

    def clear(self) -> None:
        """All slots are whole: they were reset."""
        self._slots.clear()

    def copy(self) -> Mapping[str, tuple[str, ...]]:
        """For a snapshot."""
        return dict(self._slots)

    def restore(self, slots: Mapping[str, tuple[str, ...]]) -> None:
        """What ``copy`` gave."""
        self._slots = dict(slots)

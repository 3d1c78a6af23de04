"""Which engines a stream holds beside those that are always loaded: the ones resident with its phase."""

from __future__ import annotations

from collections.abc import Callable

from v2v_runtime.manifest.model import Phase
from v2v_runtime.session import Session


class Residency:
    """One stream's hold on the engines of its phase."""

    def __init__(self, session: Session) -> None:
        self._session = session
        graphs = session.manifest.graphs
        self._wanted = {
            phase.name: tuple(sorted({c.graph for c in phase.calls if graphs[c.graph].resident == "phase"}))
            for phase in session.program.phases
        }
        self._held: tuple[str, ...] = ()

    def hold(self, phase: Phase, unbind: Callable[[], None]) -> None:
        """Frees the engines of the phase that is left, then loads those of ``phase``: not both at once.

        Where that fails, those that both phases have stay held, and holding the phase that stays loads its
        own again.

        Args:
            unbind: called before engines go: lets go of every tensor that any phase has bound to one.

        Raises:
            BundleError, BackendError: an engine could not be loaded.
        """
        wanted = self._wanted[phase.name]
        if wanted == self._held:
            return
        leaving = [graph for graph in self._held if graph not in wanted]
        # Every phase's bindings: one that was left for a phase of the same engines is bound still.
        unbind()
        self._session.release(leaving)
        self._held = tuple(graph for graph in self._held if graph in wanted)
        self._session.hold([graph for graph in wanted if graph not in self._held])
        self._held = wanted

    def release(self) -> None:
        """Lets them all go; nothing may be bound to them any more."""
        self._session.release(self._held)
        self._held = ()

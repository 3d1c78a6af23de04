"""That everything declared is used, and that ``max_frames`` says what the phases do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.model import Manifest
from v2v_runtime.manifest.validate.scope import PhaseScope, bound_name, reads, writes


def check_usage(manifest: Manifest, scopes: Sequence[PhaseScope]) -> None:
    """V2V-E2043: graphs that no call runs, slots that none writes, params and consts that none reads."""
    calls = [call for scope in scopes for call in scope.phase.calls]
    read = {name for call in calls for _, name in reads(call)}
    written = {bound_name(binding) for call in calls for _, binding in writes(call)}
    program = manifest.program
    _check("graphs", manifest.graphs, {call.graph for call in calls}, "no call runs it")
    _check(
        "program.slots", program.slots, written, "no call writes it; a tensor that never changes is a const"
    )
    _check("program.params", program.params, read, "no call reads it")
    _check("program.consts", program.consts, read, "no call reads it")


def _check(path: str, names: Iterable[str], used: set[str], why: str) -> None:
    for name in sorted(names):
        if name not in used:
            raise ManifestError(
                Code.DANGLING, f"{path}.{name}", why, "only what is used", "use it or leave it out"
            )


def check_max_frames(manifest: Manifest, per_phase: Sequence[int]) -> None:
    """V2V-E2078. A push completes one step at most, so the largest step is the largest push."""
    if manifest.program.max_frames != max(per_phase):
        raise ManifestError(
            Code.MAX_FRAMES,
            "program.max_frames",
            str(manifest.program.max_frames),
            f"{max(per_phase)}: the most frames that one step hands over",
        )

"""Limits of params; calls that run when params change, and the slots that they derive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.model import Call, Changed, Limits, Program, View
from v2v_runtime.manifest.reader import nearest
from v2v_runtime.manifest.validate.scope import A_KIND, PhaseScope, bound_name, reads, writes

#: The integer types narrower than limits can be.
_NARROW: Mapping[str, Limits] = {"uint8": Limits(0, 255), "int32": Limits(-(2**31), 2**31 - 1)}


def check_limits(program: Program) -> None:
    """Raises ManifestError: V2V-E2053."""
    for name, param in sorted(program.params.items()):
        limits = param.limits
        if limits is None:
            continue
        path = f"program.params.{name}.limits"
        if param.dtype == "bool":
            raise ManifestError(Code.LIMITS, path, "limits of a bool", "none", "leave them out")
        if limits.low > limits.high:
            raise ManifestError(Code.LIMITS, path, f"{limits.low} to {limits.high}", "low at most high")
        most = _NARROW.get(param.dtype, limits)
        if limits.low < most.low or limits.high > most.high:
            seen, expected = f"{limits.low} to {limits.high}", f"within {most.low} to {most.high}"
            raise ManifestError(Code.LIMITS, path, seen, f"{expected} ({param.dtype})")


def check_changed(scopes: Sequence[PhaseScope]) -> None:
    """Raises ManifestError: V2V-E2044, E2071, E2072."""
    derived = {
        bound_name(binding)
        for scope in scopes
        for call in scope.phase.calls
        if isinstance(call.when, Changed)
        for _, binding in writes(call)
        if scope.kind(bound_name(binding)) == "slot"
    }
    for scope in scopes:
        #: derived slot -> params that decide it, as far as the calls read so far have written it
        params_of: dict[str, set[str]] = {}
        last = _last_writers(scope, derived)
        for position, call in enumerate(scope.phase.calls):
            path = scope.call_path(position)
            _check_reads(scope, call, position, derived, last)
            if isinstance(call.when, Changed):
                _check_call(scope, call, call.when, params_of, path)
                for _, binding in writes(call):
                    params_of.setdefault(bound_name(binding), set()).update(call.when.changed)
                continue
            for port, binding in writes(call):
                if bound_name(binding) in derived:
                    raise ManifestError(
                        Code.DERIVED,
                        f"{path}.outputs.{port}",
                        f"{call.name!r} writes {bound_name(binding)!r}, which is derived from params",
                        "derived slots are written by calls with when: changed alone",
                    )


def _last_writers(scope: PhaseScope, derived: set[str]) -> dict[str, int]:
    last: dict[str, int] = {}
    for position, call in enumerate(scope.phase.calls):
        for _, binding in writes(call):
            if bound_name(binding) in derived:
                last[bound_name(binding)] = position
    return last


def _check_reads(
    scope: PhaseScope, call: Call, position: int, derived: set[str], last: dict[str, int]
) -> None:
    for key, name in reads(call):
        if name in derived and last.get(name, position) >= position:
            raise ManifestError(
                Code.DERIVED,
                f"{scope.call_path(position)}.{key}",
                f"slot {name!r} is derived from params, and no call before this one in phase "
                f"{scope.phase.name!r} brings it up to date",
                "the calls that derive it first, in every phase that reads it",
            )


def _check_call(
    scope: PhaseScope, call: Call, when: Changed, params_of: dict[str, set[str]], path: str
) -> None:
    def wrong(where: str, seen: str, expected: str, fix: str = "") -> ManifestError:
        return ManifestError(Code.CHANGED, f"{path}.{where}", seen, expected, fix)

    program = scope.program
    for i, name in enumerate(when.changed):
        if name not in program.params:
            raise ManifestError(
                Code.UNKNOWN_NAME,
                f"{path}.when.changed[{i}]",
                f"there is no param {name!r}",
                "",
                nearest(name, program.params),
            )
        if name in when.changed[:i]:
            raise wrong(f"when.changed[{i}]", f"{name!r} twice", "each param once")
    if call.late:
        raise wrong("late", "a late call", "a call before those that read what it derives", "leave out late")
    if call.rows is not None:
        raise wrong("rows", "a call on rows", "a call on the whole: there is no count in most steps")
    for key, name in reads(call):
        kind = scope.kind(name)
        needs = {name} if kind == "param" else params_of.get(name, set())
        if kind not in ("param", "const") and not needs:
            raise wrong(key, f"{name!r} is {A_KIND[kind]}", "params, consts and derived slots alone")
        if missing := sorted(needs - set(when.changed)):
            raise wrong(
                "when.changed",
                f"{call.name!r} reads {name!r}, which changes with {', '.join(missing)}",
                "every param that the call depends on",
                f"add {', '.join(missing)}",
            )
    for port, binding in writes(call):
        name = bound_name(binding)
        if scope.kind(name) != "slot":
            raise wrong(
                f"outputs.{port}", f"{name!r} is {A_KIND[scope.kind(name)]}", "slots, views of them, or null"
            )
        if program.slots[name].ring is not None and not isinstance(binding, View):
            raise wrong(f"outputs.{port}", f"{name!r} is a ring", "a slot that is no ring")

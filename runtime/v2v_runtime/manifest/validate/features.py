"""Check ports, row buckets, in-place ports: what a call may ask for besides its bindings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.model import Call, Rows, TensorSpec, View
from v2v_runtime.manifest.reader import nearest
from v2v_runtime.manifest.validate.scope import A_KIND, PhaseScope, bound_name, reads, writes

_FLAG = TensorSpec("bool", (1,))
_COUNT = TensorSpec("int32", (1,))


def check_calls(scope: PhaseScope) -> None:
    """Check ports and rows. Raises ManifestError: V2V-E2044, E2045, E2073, E2074."""
    for position, call in enumerate(scope.phase.calls):
        _check_flags(scope, call, scope.call_path(position))
        if call.rows is not None:
            _check_rows(scope, call, call.rows, scope.call_path(position))


def _check_flags(scope: PhaseScope, call: Call, path: str) -> None:
    outputs = scope.graphs[call.graph].outputs
    for i, port in enumerate(call.check):
        where = f"{path}.check[{i}]"
        if port not in outputs:
            raise _unknown_port(where, call, port, outputs, "output")
        binding = call.outputs[port]
        if port in call.check[:i]:
            raise ManifestError(Code.CHECK, where, f"{port!r} twice", "each port once")
        if outputs[port] != _FLAG:
            spec = outputs[port]
            raise ManifestError(Code.CHECK, where, f"{spec.dtype} {list(spec.shape)}", "bool [1]")
        if binding is not None and scope.kind(bound_name(binding)) == "slot":
            raise ManifestError(
                Code.CHECK, where, f"bound to the slot {bound_name(binding)!r}", "null or a temporary"
            )


def _check_rows(scope: PhaseScope, call: Call, rows: Rows, path: str) -> None:
    def wrong(key: str, seen: str, expected: str) -> ManifestError:
        return ManifestError(Code.ROWS, f"{path}.{key}", seen, expected)

    graph = scope.graphs[call.graph]
    ports = {**graph.inputs, **graph.outputs}
    if rows.count not in scope.names:
        raise ManifestError(
            Code.UNKNOWN_NAME,
            f"{path}.rows.count",
            f"nothing is called {rows.count!r}",
            "",
            nearest(rows.count, scope.makers),
        )
    count = scope.names[rows.count]
    if count.kind != "temporary" or count.spec != _COUNT or scope.is_partial(rows.count):
        seen = f"{rows.count!r} is {A_KIND[count.kind]}, {count.spec.dtype} {list(count.spec.shape)}"
        raise wrong("rows.count", seen, "a temporary of this step, int32 [1], always written")
    check_buckets(rows.buckets, f"{path}.rows.buckets")
    for i, port in enumerate(rows.ports):
        where = f"rows.ports[{i}]"
        if port not in ports:
            raise _unknown_port(f"{path}.{where}", call, port, ports, "port")
        if port in rows.ports[:i]:
            raise wrong(where, f"{port!r} twice", "each port once")
        if ports[port].shape[0] != rows.buckets[-1]:
            raise wrong(
                where,
                f"axis 0 of {port!r} is {ports[port].shape[0]}",
                f"the largest bucket, {rows.buckets[-1]}",
            )
    for port, binding in writes(call):
        is_slot = scope.kind(bound_name(binding)) == "slot"
        if port in rows.ports and is_slot:
            raise wrong(
                f"outputs.{port}",
                f"rows are written to the slot {bound_name(binding)!r}",
                "a temporary: the rows past the bucket are not written, and a slot must be whole",
            )
        if rows.at_zero == "skip" and port not in rows.ports and not is_slot:
            raise wrong(
                f"outputs.{port}",
                f"{bound_name(binding)!r} does not exist when the call is left out (at_zero: skip)",
                "null, a slot, or a port of the rows",
            )


def check_buckets(buckets: Sequence[int], path: str) -> None:
    """V2V-E2073 unless they rise strictly."""
    if any(a >= b for a, b in itertools.pairwise(buckets)):
        raise ManifestError(Code.ROWS, path, str(list(buckets)), "strictly rising row counts")


def check_in_place(scope: PhaseScope, in_place: Mapping[int, tuple[tuple[str, ...], str]]) -> None:
    """In-place ports of one phase, as the program or one variant has them.

    Args:
        in_place: position -> (the call's in-place ports, JSON path of that list).

    Raises:
        ManifestError: V2V-E2045, E2075.
    """
    readers: dict[str, list[int]] = {}
    writers: dict[str, list[tuple[int, str]]] = {}
    for position, call in enumerate(scope.phase.calls):
        for _, name in reads(call):
            readers.setdefault(name, []).append(position)
        for port, binding in writes(call):
            writers.setdefault(bound_name(binding), []).append((position, port))
    for position, (ports, path) in in_place.items():
        for i, port in enumerate(ports):
            where = f"{path}[{i}]"
            if port in ports[:i]:
                raise ManifestError(Code.IN_PLACE, where, f"{port!r} twice", "each port once")
            call = scope.phase.calls[position]
            slot = _in_place_slot(scope, call, port, where)
            if call.late:
                raise ManifestError(
                    Code.IN_PLACE,
                    where,
                    f"{call.name!r} is late",
                    "a call that is not late: a step that fails is tried again",
                    "leave out in_place, or late",
                )
            for later in readers.get(slot, ()):
                if later > position and scope.masks[later] & scope.masks[position]:
                    raise ManifestError(
                        Code.IN_PLACE,
                        where,
                        f"{scope.phase.calls[later].name!r} reads {slot!r} after it was overwritten",
                        "no reader later in the step: a slot reads as it was when the step began",
                    )
            for other, written in writers[slot]:
                if written not in in_place.get(other, ((), ""))[0]:
                    raise ManifestError(
                        Code.IN_PLACE,
                        where,
                        f"{scope.phase.calls[other].name!r} writes {slot!r} by {written!r}, not in place",
                        "all of the phase's writes to one slot in place, or none",
                    )


def _in_place_slot(scope: PhaseScope, call: Call, port: str, path: str) -> str:
    outputs = scope.graphs[call.graph].outputs
    if port not in outputs:
        raise _unknown_port(path, call, port, outputs, "output")
    binding = call.outputs[port]
    name = "null" if binding is None else bound_name(binding)
    slot = None if binding is None else scope.program.slots.get(name)
    if slot is None or (slot.ring is None and not isinstance(binding, View)):
        raise ManifestError(
            Code.IN_PLACE, path, f"{port!r} is bound to {name}", "a ring, or a view of a slot"
        )
    return name


def _unknown_port(path: str, call: Call, port: str, ports: Mapping[str, object], what: str) -> ManifestError:
    return ManifestError(
        Code.UNKNOWN_PORT, path, f"graph {call.graph!r} has no {what} {port!r}", "", nearest(port, ports)
    )

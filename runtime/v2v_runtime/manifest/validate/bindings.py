"""Each call's ports against its graph and against what they are bound to."""

from __future__ import annotations

from collections.abc import Mapping

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.model import BUILTINS, Binding, Call, Graph, Manifest, Phase, TensorSpec, View
from v2v_runtime.manifest.reader import nearest
from v2v_runtime.manifest.validate.schedule import step_masks
from v2v_runtime.manifest.validate.scope import A_KIND, Declared, PhaseScope, bound_name, check_size, writes

_WRITABLE = "a slot, a view of one, a new name, or null"


def bind_phase(manifest: Manifest, index: int, declared: Mapping[str, Declared]) -> PhaseScope:
    """Checks one phase's bindings.

    Returns:
        The phase with all its names.

    Raises:
        ManifestError: V2V-E2040, E2041, E2044 to E2047, E2050 to E2052, E2060 to E2062, E2070.
    """
    program = manifest.program
    phase = program.phases[index]
    path = f"program.phases[{index}]"
    names = dict(declared)
    for name, frame in program.inputs.items():
        spec = TensorSpec("uint8", (phase.gather, frame.height, frame.width, 3))
        check_size(spec, f"{path}.gather")
        names[name] = Declared("input", spec)
    _check_call_names(phase, path)
    steps, masks = step_masks(phase, path)
    makers: dict[str, list[int]] = {}
    for position, call in enumerate(phase.calls):
        where = f"{path}.calls[{position}]"
        graph = _graph_of(manifest, call, where)
        for port, binding in writes(call):
            output = f"{where}.outputs.{port}"
            temporary = _temporary(binding, names, makers, output)
            if temporary is not None:
                made = names.setdefault(temporary, Declared("temporary", graph.outputs[port]))
                check_equal(made.spec, graph.outputs[port], output)
                makers.setdefault(temporary, []).append(position)
            else:
                _check_write(binding, names, manifest, graph.outputs[port], output)
    for position, call in enumerate(phase.calls):
        graph = manifest.graphs[call.graph]
        for port, binding in sorted(call.inputs.items()):
            input_path = f"{path}.calls[{position}].inputs.{port}"
            check_equal(read_spec(binding, names, input_path), graph.inputs[port], input_path)
    return PhaseScope(
        program=program,
        graphs=manifest.graphs,
        phase=phase,
        path=path,
        steps=steps,
        masks=masks,
        names=names,
        makers={name: tuple(found) for name, found in makers.items()},
    )


def _check_call_names(phase: Phase, path: str) -> None:
    seen: set[str] = set()
    for position, call in enumerate(phase.calls):
        if call.name in seen:
            raise ManifestError(
                Code.NAME_TAKEN, f"{path}.calls[{position}].name", f"two calls {call.name!r}", "one per phase"
            )
        seen.add(call.name)


def _graph_of(manifest: Manifest, call: Call, path: str) -> Graph:
    graph = manifest.graphs.get(call.graph)
    if graph is None:
        raise ManifestError(
            Code.UNKNOWN_NAME,
            f"{path}.graph",
            f"there is no graph {call.graph!r}",
            "",
            nearest(call.graph, manifest.graphs),
        )
    for side, ports, bound in (
        ("inputs", graph.inputs, call.inputs),
        ("outputs", graph.outputs, call.outputs),
    ):
        for port in sorted(bound):
            if port not in ports:
                free = [each for each in ports if each not in bound]
                raise ManifestError(
                    Code.UNKNOWN_PORT,
                    f"{path}.{side}.{port}",
                    f"graph {call.graph!r} has no {side[:-1]} {port!r}",
                    "",
                    nearest(port, free),
                )
        for port in sorted(ports):
            if port not in bound:
                fix = "bind it" if side == "inputs" else "bind it, or bind it to null to throw it away"
                raise ManifestError(
                    Code.UNBOUND_PORT,
                    f"{path}.{side}",
                    f"port {port!r} of {call.graph!r} is not bound",
                    "",
                    fix,
                )
    return graph


def _temporary(
    binding: Binding, names: Mapping[str, Declared], makers: Mapping[str, list[int]], path: str
) -> str | None:
    """The name, if this output makes a temporary."""
    name = bound_name(binding)
    if name in BUILTINS or name.endswith(".count"):
        raise ManifestError(
            Code.SHADOWS_BUILTIN, path, f"{name!r} is a counter that the machine moves", _WRITABLE
        )
    if name in names and name not in makers:
        return None
    if isinstance(binding, View):
        if name in makers:
            raise ManifestError(Code.NOT_WRITABLE, path, f"a view of the temporary {name!r}", _WRITABLE)
        raise ManifestError(
            Code.UNKNOWN_NAME,
            f"{path}.name",
            f"there is no slot {name!r}",
            "",
            nearest(name, [each for each, found in names.items() if found.kind == "slot"]),
        )
    return name


def _check_write(
    binding: Binding, names: Mapping[str, Declared], manifest: Manifest, port: TensorSpec, path: str
) -> None:
    name = bound_name(binding)
    found = names[name]
    if found.kind != "slot":
        raise ManifestError(Code.NOT_WRITABLE, path, f"{name!r} is {A_KIND[found.kind]}", _WRITABLE)
    if manifest.program.slots[name].ring is None:
        check_equal(read_spec(binding, names, path), port, path)
        return
    if isinstance(binding, View):
        raise ManifestError(
            Code.RING,
            path,
            f"a view of the ring {name!r}",
            "the ring itself, which takes one entry at its own index",
            f"bind {name!r}",
        )
    check_equal(TensorSpec(found.spec.dtype, (1, *found.spec.shape[1:])), port, path)


def read_spec(binding: Binding, names: Mapping[str, Declared], path: str) -> TensorSpec:
    """The type and shape that a binding stands for.

    Raises:
        ManifestError: V2V-E2044, E2052.
    """
    name = bound_name(binding)
    if name not in names:
        raise ManifestError(Code.UNKNOWN_NAME, path, f"nothing is called {name!r}", "", nearest(name, names))
    spec = names[name].spec
    if not isinstance(binding, View):
        return spec
    if binding.start + binding.length > spec.shape[0]:
        raise ManifestError(
            Code.VIEW,
            path,
            f"entries {binding.start} to {binding.start + binding.length - 1} of {name!r}",
            f"entries 0 to {spec.shape[0] - 1}",
        )
    return TensorSpec(spec.dtype, (binding.length, *spec.shape[1:]))


def check_equal(seen: TensorSpec, port: TensorSpec, path: str) -> None:
    """What is bound against the port: V2V-E2050, E2051. ``"float"`` equals ``"float"`` alone."""
    if seen.dtype != port.dtype:
        raise ManifestError(
            Code.DTYPE, path, f"{seen.dtype} is bound", f"{port.dtype}, as the graph declares"
        )
    if seen.shape != port.shape:
        raise ManifestError(
            Code.DIMENSIONS,
            path,
            f"{list(seen.shape)} is bound",
            f"{list(port.shape)}, as the graph declares",
        )

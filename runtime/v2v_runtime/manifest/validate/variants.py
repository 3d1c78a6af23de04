"""Variants against graphs and calls, and the self-test against variants."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_runtime.errors import ManifestError
from v2v_runtime.manifest.codes import Code
from v2v_runtime.manifest.model import Call, CallOverride, Manifest
from v2v_runtime.manifest.reader import nearest
from v2v_runtime.manifest.validate.features import check_buckets, check_in_place
from v2v_runtime.manifest.validate.scope import PhaseScope


def check_variant_graphs(manifest: Manifest) -> None:
    """V2V-E2033: each variant has a file for every graph, and for no other."""
    for name, variant in sorted(manifest.variants.items()):
        path = f"variants.{name}.graphs"
        for graph in sorted(variant.graphs):
            if graph not in manifest.graphs:
                raise ManifestError(
                    Code.VARIANT_GRAPHS,
                    f"{path}.{graph}",
                    f"there is no graph {graph!r}",
                    "",
                    nearest(graph, [each for each in manifest.graphs if each not in variant.graphs]),
                )
        if missing := [graph for graph in sorted(manifest.graphs) if graph not in variant.graphs]:
            raise ManifestError(
                Code.VARIANT_GRAPHS, path, f"no file for {', '.join(missing)}", "one for every graph"
            )


def check_overrides(manifest: Manifest, scopes: Sequence[PhaseScope]) -> None:
    """What each variant makes of the calls, and the program by itself.

    Raises:
        ManifestError: V2V-E2034, E2045, E2073, E2075.
    """
    places = {
        f"{scope.phase.name}/{call.name}": (index, position)
        for index, scope in enumerate(scopes)
        for position, call in enumerate(scope.phase.calls)
    }
    own = [_own_in_place(scope) for scope in scopes]
    for scope, in_place in zip(scopes, own, strict=True):
        check_in_place(scope, in_place)
    for name, variant in sorted(manifest.variants.items()):
        changed: dict[int, dict[int, tuple[tuple[str, ...], str]]] = {}
        for key, override in sorted(variant.calls.items()):
            path = f"variants.{name}.calls.{key}"
            if key not in places:
                raise ManifestError(
                    Code.OVERRIDE, path, f"there is no call {key!r}", "", nearest(key, places)
                )
            index, position = places[key]
            _check_buckets(scopes[index].phase.calls[position], override, path)
            if override.in_place is not None:
                changed.setdefault(index, {})[position] = (override.in_place, f"{path}.in_place")
        for index, in_place in sorted(changed.items()):
            check_in_place(scopes[index], own[index] | in_place)


def _own_in_place(scope: PhaseScope) -> dict[int, tuple[tuple[str, ...], str]]:
    return {
        position: (call.in_place, f"{scope.call_path(position)}.in_place")
        for position, call in enumerate(scope.phase.calls)
    }


def _check_buckets(call: Call, override: CallOverride, path: str) -> None:
    if override.buckets is None:
        return
    if call.rows is None:
        raise ManifestError(
            Code.OVERRIDE, f"{path}.buckets", f"{call.name!r} has no rows", "a call with rows"
        )
    check_buckets(override.buckets, f"{path}.buckets")
    if override.buckets[-1] != call.rows.buckets[-1]:
        raise ManifestError(
            Code.ROWS,
            f"{path}.buckets",
            f"the largest is {override.buckets[-1]}",
            f"{call.rows.buckets[-1]}, as the graph's ports declare",
        )


def check_selftest(manifest: Manifest) -> None:
    """V2V-E2035: a tolerance for each float type that a variant has."""
    if manifest.selftest is None:
        return
    tolerance = manifest.selftest.tolerance
    for name in sorted(tolerance):
        if name not in ("float16", "float32"):
            raise ManifestError(
                Code.TOLERANCE,
                f"selftest.tolerance.{name}",
                f"{name!r} is no float type",
                "float16 or float32",
                nearest(name, ("float16", "float32")),
            )
    for name, variant in sorted(manifest.variants.items()):
        if variant.float not in tolerance:
            raise ManifestError(
                Code.TOLERANCE,
                "selftest.tolerance",
                f"none for {variant.float}, which variant {name!r} has",
                "one for each float type of a variant",
            )

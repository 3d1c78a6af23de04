"""The engine key: everything that an engine depends on, as an ordered mapping, and why two of them differ."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from typing import Any

from v2v_export.targets.base import EngineRequest

FIELDS = (
    "graph",
    "weights",
    "shapes",
    "precision",
    "options",
    "profile",
    "backend",
    "backend_version",
    "kernels",
    "compute_capability",
    "os",
)
"""The fields of a key, from what changes most often to what changes least; a miss names the first to
differ."""


def engine_key(
    request: EngineRequest,
    *,
    graph_sha256: str,
    weights_sha256: str | None,
    shapes: Mapping[str, Any],
    version: str,
    fingerprint: Mapping[str, Any],
) -> dict[str, Any]:
    """The key of the engine that ``request`` asks for; plain JSON, without any path.

    Args:
        graph_sha256: of the ONNX file.
        weights_sha256: of its external data; None for a graph without.
        shapes: port -> [dtype, shape] at the largest bucket.
        version: the builder's ``Availability.version``.
        fingerprint: ``Builder.fingerprint``.
    """
    key = {
        "graph": graph_sha256,
        "weights": weights_sha256,
        "shapes": {
            "ports": dict(shapes),
            "buckets": {port: list(rows) for port, rows in sorted(request.buckets.items())},
        },
        "precision": request.float,
        "options": dict(request.options),
        "profile": figures(request.profile),
        "backend": request.backend,
        "backend_version": version,
        "kernels": dict(fingerprint),
        "compute_capability": request.profile.get("compute_capability"),
        "os": f"{platform.system()}-{platform.machine()}".lower(),
    }
    assert tuple(key) == FIELDS
    plain: dict[str, Any] = json.loads(json.dumps(key))  # as it will be read back: lists, no tuples
    return plain


def figures(profile: Any) -> Any:
    """A profile without its prose: where a figure comes from and why a form was chosen builds nothing
    anew."""
    if not isinstance(profile, Mapping):
        return profile
    for value in ("value", "form"):
        if value in profile:
            return profile[value]
    return {name: figures(item) for name, item in profile.items() if name not in ("title", "note")}


def explain_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """The first field that differs, as ``field.sub: old -> new``; None if the keys are equal.

    Fields are compared in the order of ``FIELDS``; in a nested mapping the first differing entry is named.
    """
    for name in (*FIELDS, *sorted(set(old) | set(new))):
        if old.get(name) != new.get(name):
            return _difference(name, old.get(name), new.get(name))
    return None


def _difference(path: str, old: Any, new: Any) -> str:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted(set(old) | set(new)):
            if old.get(name) != new.get(name):
                return _difference(f"{path}.{name}", old.get(name), new.get(name))
    return f"{path}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:16]}..."

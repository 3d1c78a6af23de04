"""Outputs that update a slot in place: the call reads by the same view what the output overwrites."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from v2v_runtime.manifest.program import Call, View


def updated_views(call: Call, in_place: Iterable[str]) -> Iterator[View]:
    """The views that ``call`` updates by its ``in_place`` ports; see ``Call.in_place``."""
    for port in in_place:
        binding = call.outputs[port]
        if isinstance(binding, View) and binding in call.inputs.values():
            yield binding

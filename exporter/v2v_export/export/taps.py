"""Brings hidden taps back as outputs, for parity and for looking inside."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from v2v_export.errors import BuildError


def surface(model: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """A copy of ``model`` that hands out the inner values ``names`` after its own outputs.

    Weights stay external: the copy must be saved beside the original's data file, or loaded with that folder.

    Raises:
        BuildError: the model has no inner value of that name with a known type (V2V-E7012).
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {info.name: info for info in copy.graph.value_info}
    outputs = {info.name for info in copy.graph.output}
    for name in names:
        if name in outputs:
            continue
        if name not in known:
            raise BuildError(
                "V2V-E7012",
                f"no tap {name!r} in graph {copy.graph.name!r}",
                f"one of its {len(known)} typed inner values",
                "build the bundle again with a system that declares this tap",
            )
        copy.graph.output.append(known[name])
    return copy

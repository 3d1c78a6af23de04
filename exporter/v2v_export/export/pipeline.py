"""One graph from declaration to file: trace, then each pass in order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from v2v_export.errors import BuildError
from v2v_export.export.passes.attach_bodies import attach_bodies
from v2v_export.export.passes.check import check
from v2v_export.export.passes.fold import fold
from v2v_export.export.passes.hide_taps import hide_taps
from v2v_export.export.passes.strip_metadata import strip_metadata
from v2v_export.export.passes.transpose_weights import transpose_weights
from v2v_export.export.trace import trace
from v2v_export.export.types import Float
from v2v_export.export.weights import externalise
from v2v_export.system import GraphSpec


def export_graph(
    spec: GraphSpec,
    variant_float: Float,
    lowering: Mapping[str, str],
    folder: Path,
    stem: str = "graph",
    *,
    opset: int | None = None,
) -> Path:
    """Exports one graph to ``folder / stem.onnx``, its weights beside it in ``stem.weights``.

    Args:
        lowering: custom op or operation family -> chosen form, for the bodies of custom ops.
        opset: see ``trace``.

    Raises:
        BuildError: see the passes (V2V-E7010 to V2V-E7019).
    """
    import v2v_plugins

    model = trace(spec, variant_float, opset=opset, translations=v2v_plugins.translation_table())
    strip_metadata(model)
    transpose_weights(model)
    fold(model)
    strip_metadata(model)  # folding names its new nodes after the ones it replaced
    hide_taps(model, list(spec.taps), spec.name)
    model.graph.name = spec.name
    proto = externalise(model, folder, f"{stem}.weights")
    attach_bodies(proto, lowering, spec.name)
    check(proto, spec.name, spec.dynamic_rows, spec.opset)
    path = folder / f"{stem}.onnx"
    path.write_bytes(proto.SerializeToString(deterministic=True))
    try:
        onnx.checker.check_model(str(path))
    except onnx.checker.ValidationError as error:
        raise BuildError(
            "V2V-E7019",
            f"graph {spec.name!r} is no valid ONNX model: {error}",
            fix="report it: a pass broke it",
        ) from error
    return path

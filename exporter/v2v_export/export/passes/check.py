"""The last pass changes nothing: it refuses a graph that some backend would refuse, or read wrongly, later.

Requires: the finished ``ModelProto``, weights external.
Ensures: opset within what all backends read; shapes of ports static but for the rows of a bucket; uint8
only at the edges (an input that is cast first, an output that is a cast); no operator of an unknown domain;
no local path.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path

import onnx
from onnx import TensorProto

from v2v_export.errors import BuildError
from v2v_export.export.passes.attach_bodies import DOMAIN
from v2v_export.export.trace import ROWS

OPSET_CAP = 20
"""The highest default opset that ONNX Runtime and every TensorRT flavour of ours read."""


def check(
    model: onnx.ModelProto, graph: str, dynamic_rows: Collection[str] = (), opset: int | None = None
) -> None:
    """Checks ``model``; ``graph`` names it in errors.

    Args:
        opset: what the graph declares to need above ``OPSET_CAP``.

    Raises:
        BuildError: opset too high (V2V-E7014), a dynamic or unknown shape (V2V-E7015), uint8 inside
            (V2V-E7016), an operator without a home (V2V-E7013), a local path (V2V-E7017).
    """
    _opset(model, graph, max(OPSET_CAP, opset or 0))
    _shapes(model, graph, dynamic_rows)
    _bytes_at_edges(model, graph)
    _domains(model, graph)
    _paths(model, graph)


def local_paths() -> tuple[str, ...]:
    """Folders of this machine whose names have no place in an artefact."""
    folders = {
        Path.home().as_posix(),
        Path.cwd().as_posix(),
        Path(__file__).resolve().parents[3].as_posix(),
        Path(tempfile.gettempdir()).as_posix(),
        Path(sys.prefix).as_posix(),
        Path(os.environ.get("V2V_CACHE", tempfile.gettempdir())).as_posix(),
    }
    # "/" is no secret, and would be found everywhere.
    return tuple(sorted(f"{item}/" for item in folders if len(item) > 1))


def _opset(model: onnx.ModelProto, graph: str, cap: int) -> None:
    found = max((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), default=0)
    if found > cap:
        raise BuildError(
            "V2V-E7014",
            f"graph {graph!r} needs opset {found}",
            f"at most {cap}",
            "export the operator that asks for it in an older form, or declare the graph's opset",
        )


def _shapes(model: onnx.ModelProto, graph: str, dynamic_rows: Collection[str]) -> None:
    for port in (*model.graph.input, *model.graph.output):
        for axis, dim in enumerate(port.type.tensor_type.shape.dim):
            if dim.HasField("dim_value"):
                continue
            if axis == 0 and port.name in dynamic_rows and dim.dim_param == ROWS:
                continue
            raise BuildError(
                "V2V-E7015",
                f"axis {axis} of port {port.name!r} of graph {graph!r} is {dim.dim_param or 'unknown'}",
                "a fixed size",
                "declare the port in dynamic_rows if axis 0 is a row bucket; else fix the size in the module",
            )


def _bytes_at_edges(model: onnx.ModelProto, graph: str) -> None:
    inputs = {p.name for p in model.graph.input if p.type.tensor_type.elem_type == TensorProto.UINT8}
    outputs = {port.name for port in model.graph.output}
    inner: set[str] = set()
    for node in model.graph.node:
        if node.op_type != "Cast":
            touched = (inputs | inner).intersection(node.input)
            if touched:
                raise _uint8(graph, sorted(touched)[0], f"{node.op_type} reads it")
        elif any(item.name == "to" and item.i == TensorProto.UINT8 for item in node.attribute):
            inner.update(node.output)
            if not outputs.issuperset(node.output):
                raise _uint8(graph, node.output[0], "it is made inside the graph")
    made = {name for node in model.graph.node if node.op_type == "Cast" for name in node.output}
    for port in model.graph.output:
        if port.type.tensor_type.elem_type == TensorProto.UINT8 and port.name not in made:
            raise _uint8(graph, port.name, "it is an output that no Cast makes")


def _uint8(graph: str, value: str, how: str) -> BuildError:
    return BuildError(
        "V2V-E7016",
        f"uint8 value {value!r} of graph {graph!r}: {how}",
        "uint8 only at the edges: cast an input before anything else, make an output by the last cast",
        "move the permute behind the first cast and before the last one",
    )


def _domains(model: onnx.ModelProto, graph: str) -> None:
    bodies = {(item.domain, item.name) for item in model.functions}
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") and (node.domain, node.op_type) not in bodies:
            raise BuildError(
                "V2V-E7013",
                f"node {node.name!r} of graph {graph!r} is {node.domain}::{node.op_type}, which has no body",
                f"operators of ONNX itself, or of domain {DOMAIN} with a portable body in the same file",
                "register the op under plugins/ with its body",
            )


def _paths(model: onnx.ModelProto, graph: str) -> None:
    data = model.SerializeToString()
    for path in local_paths():
        at = data.find(path.encode())
        if at >= 0:
            raise BuildError(
                "V2V-E7017",
                f"graph {graph!r} holds the local path {path!r} (byte {at} of the file)",
                "no path of the machine that built it",
                "find the string that the module or the exporter put there, and strip it in a pass",
            )

"""Gives the custom ops of a model their portable bodies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

import onnx
from onnx import parser

from v2v_plugins.errors import PluginError
from v2v_plugins.registry import DOMAIN, VERSION, Op


def attach(ops: Mapping[str, Op], model: onnx.ModelProto, lowering: str | Mapping[str, str]) -> list[str]:
    """See ``v2v_plugins.attach_bodies``."""
    names = sorted({node.op_type for node in _all_nodes(model) if node.domain == DOMAIN})
    if not names:
        return []
    opset = _opset(model)
    bodies = []
    for name in names:
        if name not in ops:
            raise PluginError(
                "V2V-E7701",
                f"the model has a node {DOMAIN}::{name}",
                f"one of {', '.join(f'{DOMAIN}::{known}' for known in sorted(ops))}",
                "add a folder for the op under v2v_plugins, or correct the node's name",
            )
        bodies.append(_function(ops[name], _choice(ops[name], lowering), opset))
    kept = [item for item in model.functions if not (item.domain == DOMAIN and item.name in names)]
    del model.functions[:]
    model.functions.extend([*kept, *bodies])
    if all(item.domain != DOMAIN for item in model.opset_import):
        model.opset_import.add(domain=DOMAIN, version=VERSION)
    # Functions are of IR version 8 on.
    model.ir_version = max(model.ir_version, 8)
    return names


def _choice(op: Op, lowering: str | Mapping[str, str]) -> str:
    default = next(iter(op.lowerings))
    chosen = (
        lowering if isinstance(lowering, str) else lowering.get(op.name, lowering.get(op.family, default))
    )
    if chosen not in op.lowerings:
        raise PluginError(
            "V2V-E7702",
            f"lowering {chosen!r} of {DOMAIN}::{op.name}",
            f"one of {', '.join(op.lowerings)}",
            f"correct the profile's choice for {op.family!r}",
        )
    return chosen


@lru_cache(maxsize=64)
def _parsed(op: Op, name: str, opset: int) -> bytes:
    body = op.lowerings[name]
    inputs = ", ".join(item.name for item in op.schema.inputs)
    outputs = ", ".join(item.name for item in op.schema.outputs)
    head = f'<domain: "{DOMAIN}", opset_import: ["": {opset}]>\n{op.name} ({inputs}) => ({outputs}) {{'
    function = parser.parse_function(f"{head}{body.text}}}")
    function.doc_string = f"{DOMAIN}::{op.name}, lowering {name}"
    serialized: bytes = function.SerializeToString(deterministic=True)
    return serialized


def _function(op: Op, name: str, opset: int) -> onnx.FunctionProto:
    """The body in the model's own opset: backends inline it as if its nodes stood in the graph."""
    body = op.lowerings[name]
    if not body.first_opset <= opset <= body.last_opset:
        raise PluginError(
            "V2V-E7703",
            f"a model of opset {opset}, and lowering {name!r} of {DOMAIN}::{op.name}",
            f"an opset from {body.first_opset} to {body.last_opset}: {body.why}",
            "export at an opset in that range (19 suits every lowering), or choose another lowering",
        )
    return onnx.FunctionProto.FromString(_parsed(op, name, opset))


def _opset(model: onnx.ModelProto) -> int:
    for item in model.opset_import:
        if item.domain in ("", "ai.onnx"):
            return int(item.version)
    raise PluginError(
        "V2V-E7704",
        "a model that imports no version of ONNX's own operators",
        "an opset_import of the default domain",
        "export the model again; the file is damaged",
    )


def _all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    yield from _nodes(model.graph.node)
    for function in model.functions:
        # What stands in a body of ours is ours already, and may be replaced below.
        if function.domain != DOMAIN:
            yield from _nodes(function.node)


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes, and those of the graphs inside them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)

"""From an ONNX file to a TensorRT network, and from a refusal to words that help."""

from __future__ import annotations

from typing import Any

from v2v_export.errors import BuildError
from v2v_export.targets._tensorrt.flavour import Flavour

_EDGES = "uint8 exists at the edges only: cast a uint8 input first, and make the cast to uint8 the last node"
_ADVICE = {
    "DeformConv": "TensorRT's deformable convolution is a plugin: choose another lowering in the profile, "
    'deform = "gather" or "gridsample"',
    "GridSample": "give its picture and its grid one type, float32 where positions matter, at opset 16 to 19",
    "TensorScatter": "bind the cache as an input and its update as an output of the graph, or use ScatterND",
    "Cast": _EDGES,
    "Transpose": _EDGES,
    "Attention": "attention with past and present is not taken: concatenate keys and values before it",
}
_PLUGIN = "give the op a portable body (v2v_plugins.attach_bodies), or choose a lowering without it"
_OTHERWISE = "choose another lowering of this operation, or backend onnxruntime, in the profile"


def create_network(trt: Any, flavour: Flavour, builder: Any) -> Any:
    """An empty, strongly typed network: the graph alone says where precision changes.

    TensorRT for RTX and TensorRT 11 know no other kind; below 11 it is a flag.
    """
    flags = 0
    if flavour.major is not None and flavour.major < 11:
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return builder.create_network(flags)


def parse(trt: Any, flavour: Flavour, network: Any, logger: Any, model: str, graph: str) -> None:
    """Parses the file, weights beside it included, into ``network``.

    Raises:
        BuildError: the parser refuses it (V2V-E7202), with every node that it names and what to do.
    """
    parser = trt.OnnxParser(network, logger)
    if parser.parse_from_file(model):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    seen = [_describe(error) for error in errors] or ["it gave no reason"]
    advice = dict.fromkeys(_advice(error) for error in errors) or {_OTHERWISE: None}
    raise BuildError(
        "V2V-E7202",
        f"{flavour.title} {trt.__version__} refuses graph {graph!r}: " + "; ".join(seen),
        "operators and types that its ONNX parser takes",
        "; ".join(advice),
    )


def _describe(error: Any) -> str:
    reason = " ".join(str(error.desc()).split("\n[checkMacros")[0].split())
    operator, name = error.node_operator(), error.node_name()
    where = f"node {name!r} ({operator})" if operator else "the model"
    return f"{where}: {reason}"


def _advice(error: Any) -> str:
    operator = str(error.node_operator())
    if operator in _ADVICE:
        return _ADVICE[operator]
    return _PLUGIN if "Plugin not found" in str(error.desc()) else _OTHERWISE


def let_attention_decompose(trt: Any, network: Any) -> int:
    """Allows every attention layer to become plain products where no fused kernel takes it.

    Without this a head size or type that has no fused kernel (float32, or 8 channels) ends the build. Where
    there is a fused kernel it is still chosen: the counters tell how many were.

    Returns:
        The number of attention layers.
    """
    kind = getattr(trt.LayerType, "ATTENTION_INPUT", None)
    if kind is None:
        return 0
    found = 0
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type == kind:
            layer.__class__ = trt.IAttentionInputLayer
            layer.attention.decomposable = True
            found += 1
    return found

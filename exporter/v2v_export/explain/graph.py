"""What an explanation knows of one ONNX model: nodes, static shapes, types and sizes. See ``read``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import NodeProto

from v2v_export.errors import ModelError

#: Nodes whose output is their first input seen under another shape: they move nothing.
VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Type and static shape of one tensor; ``dtype`` is numpy's name, such as ``float16``."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int


@dataclass(frozen=True)
class StaticGraph:
    """One model with its local functions inlined and its shape arithmetic done.

    Attributes:
        name: for messages.
        nodes: in topological order, ``Constant`` nodes left out.
        tensors: every tensor whose type and shape are known.
        inputs: graph inputs that are no initializers.
        weights: initializers and constants.
        loops: index of a ``Scan`` node -> its body and how often that runs.
    """

    name: str
    nodes: tuple[NodeProto, ...]
    tensors: Mapping[str, TensorInfo]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: frozenset[str]
    loops: Mapping[int, Loop]

    def info(self, node: NodeProto, tensor: str) -> TensorInfo:
        """Type and shape of one of ``node``'s tensors.

        Raises:
            ModelError: they cannot be told from the file (V2V-E6201).
        """
        found = self.tensors.get(tensor)
        if found is None:
            raise ModelError(
                "V2V-E6201",
                f"{self.name}: the shape of {tensor!r} at node {node.name or node.op_type!r} is unknown",
                "a graph of which every tensor's shape follows from its inputs' shapes",
                "export with static shapes, or give the shapes of the graph's inputs",
            )
        return found


@dataclass(frozen=True)
class Loop:
    """The body of a ``Scan``, which runs ``trips`` times."""

    body: StaticGraph
    trips: int

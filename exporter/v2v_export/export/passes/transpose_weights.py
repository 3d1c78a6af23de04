"""Takes transposed weights as they are wanted: a weight that is only ever read transposed is stored so.

Requires: a traced model.
Ensures: no Transpose of a large initializer that nothing else reads. What takes its place is made when it is
written, one tensor at a time; folding would make all of them at once, another copy of a model's weights.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

LARGE = 1 << 13
"""Elements from which a weight counts as large; folding does the small ones."""


def transpose_weights(model: ir.Model) -> None:
    """Rewrites ``model`` in place."""
    for node in list(model.graph):
        weight = node.inputs[0] if node.op_type == "Transpose" and node.domain in ("", "ai.onnx") else None
        if weight is None or not weight.is_initializer() or len(weight.uses()) != 1:
            continue
        tensor = weight.const_value
        if tensor is None or tensor.size < LARGE or weight.is_graph_output():
            continue
        out = node.outputs[0]
        if out.is_graph_output():
            continue
        turned = _turned(tensor, node, f"{weight.name}.transposed")
        value = ir.Value(name=turned.name, shape=turned.shape, type=weight.type, const_value=turned)
        model.graph.register_initializer(value)
        for user, index in list(out.uses()):
            user.replace_input_with(index, value)
        model.graph.remove(node, safe=True)
        del model.graph.initializers[str(weight.name)]


def _turned(tensor: ir.TensorProtocol, node: ir.Node, name: str) -> ir.LazyTensor:
    rank = len(tensor.shape)
    given = node.attributes.get("perm")
    order = tuple(given.as_ints()) if given is not None else tuple(reversed(range(rank)))
    sizes = tensor.shape.numpy()
    shape = ir.Shape([sizes[axis] for axis in order])

    def make() -> ir.TensorProtocol:
        return ir.Tensor(np.ascontiguousarray(tensor.numpy().transpose(order)), dtype=tensor.dtype, name=name)

    return ir.LazyTensor(make, dtype=tensor.dtype, shape=shape, name=name)

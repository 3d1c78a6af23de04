"""Networks whose scratch can be worked out by hand, and was told by engines of TensorRT for RTX 1.7.1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onnx import NodeProto, TensorProto, helper
from support.onnx_nets import node, save_net

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def products_net(path: Path, widths: Sequence[int], rows: int = 4096, act: str = "Relu") -> Path:
    """Products of [rows, width] with matrices, an activation behind each; the last gives 64 columns."""
    nodes, weights, source = [], {}, "x"
    for index, (width, after) in enumerate(zip(widths, [*widths[1:], 64], strict=True)):
        last = index == len(widths) - 1
        nodes.append(node("MatMul", f"{source} w{index}", "y" if last else f"p{index}"))
        if not last:
            nodes.append(node(act, f"p{index}", f"a{index}"))
        weights[f"w{index}"] = [width, after]
        source = f"a{index}"
    return save_net(path, nodes, {"x": [rows, widths[0]]}, {"y": [rows, 64]}, weights, dtype=HALF)


def attention_net(
    path: Path,
    heads: int,
    length: int,
    size: int,
    *,
    dtype: int = HALF,
    wide: bool = False,
    more: bool = False,
) -> Path:
    """Attention operator by operator on queries, keys (transposed) and values, scaled.

    Args:
        wide: the softmax is in float32 between casts.
        more: the scores are read a second time.
    """
    scale = helper.make_tensor("scale", dtype, [], [0.5])
    nodes = [node("MatMul", "q k", "s"), node("Mul", "s scale", "m")]
    if wide:
        nodes += [
            node("Cast", "m", "m32", to=FLOAT),
            node("Softmax", "m32", "p32", axis=-1),
            node("Cast", "p32", "p", to=dtype),
        ]
    else:
        nodes.append(node("Softmax", "m", "p", axis=-1))
    nodes.append(node("MatMul", "p v", "y"))
    shape, turned = [1, heads, length, size], [1, heads, size, length]
    outputs = {"y": shape}
    if more:
        nodes.append(node("Tanh", "s", "t"))
        outputs["t"] = [1, heads, length, length]
    inputs = {"q": shape, "k": turned, "v": shape}
    return save_net(path, nodes, inputs, outputs, dtype=dtype, constants=[scale])


def residual_net(path: Path, side: int = 64, channels: int = 64) -> Path:
    """Three convolutions with ReLU on a picture [1, side, side, 8]; the last adds the first one's result."""
    nodes: list[NodeProto] = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t w0", "c0", pads=[1] * 4),
        node("Relu", "c0", "a0"),
        node("Conv", "a0 w1", "c1", pads=[1] * 4),
        node("Relu", "c1", "a1"),
        node("Conv", "a1 w2", "c2", pads=[1] * 4),
        node("Add", "c2 a0", "s"),
        node("Relu", "s", "a2"),
        node("Transpose", "a2", "y", perm=[0, 2, 3, 1]),
    ]
    wide = [channels, channels, 3, 3]
    weights = {"w0": [channels, 8, 3, 3], "w1": wide, "w2": wide}
    shape = [1, side, side]
    return save_net(path, nodes, {"x": [*shape, 8]}, {"y": [*shape, channels]}, weights, dtype=HALF)


def keys_net(path: Path, rows: int = 1024, widths: Sequence[int] = (320, 640, 1280)) -> Path:
    """Products of one normalised tensor with matrices of several widths, each added to its own input."""
    nodes = [node("Softmax", "x", "n", axis=-1)]
    inputs, weights, outputs = {"x": [rows, 256]}, {}, {}
    for index, width in enumerate(widths):
        nodes += [
            node("MatMul", f"n w{index}", f"p{index}"),
            node("Add", f"p{index} r{index}", f"y{index}"),
        ]
        inputs[f"r{index}"] = outputs[f"y{index}"] = [rows, width]
        weights[f"w{index}"] = [256, width]
    return save_net(path, nodes, inputs, outputs, weights, dtype=HALF)
